"""The time–sequence plots: a figure per flow, its points as JSON for plot.js, and the same points as a table.

Above a budget of points, only every n-th segment that arrived in order is drawn; segments out of order are
kept up to the same budget. The figure counts the omitted points.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyfw.replay.report.markup import Html, element, joined, row, table
from pyfw.replay.report.number_format import count, duration, plural
from pyfw.replay.report.run import (
    DUPLICATE,
    EARLY,
    IN_ORDER,
    LATE,
    SENT,
    Comparison,
    Flow,
    Run,
)

FLOWS_DRAWN = 6
TABLE_ROWS = 120
KINDS = ("sent", "in order", "early", "late", "duplicate")


@dataclass(frozen=True)
class Panel:
    """One flow under one rule."""

    points: list[list[int]]
    """[time_ns, position, length, kind, index among the sent or the arrived]"""
    kept: int
    """Points in the result."""
    every: int
    """One of this many segments in order is drawn."""
    exceptions: int
    """Points out of order in the result."""

    @property
    def exceptions_drawn(self) -> int:
        """The points out of order that are drawn."""
        return sum(point[3] in (EARLY, LATE, DUPLICATE) for point in self.points)


def panel(run: Run, flow: Mapping[str, Any] | None, start_ns: int, budget: int) -> Panel:
    """Returns a flow's points, at most `budget` of them."""
    indices = {True: 0, False: 0}
    points: list[list[int]] = []
    for time_ns, _, position, length, kind in run.points.get(flow["id"], ()) if flow else ():
        sent = kind == SENT
        points.append([time_ns - start_ns, position, length, kind, indices[sent]])
        indices[sent] += 1
    exceptions = sum(point[3] not in (SENT, IN_ORDER) for point in points)
    if len(points) <= budget:
        return Panel(points, len(points), 1, exceptions)
    return _thinned(points, exceptions, budget)


def figures(comparison: Comparison, budget: int) -> tuple[Html, list[dict[str, Any]]]:
    """Returns the figures of a case and the data for plot.js, with `budget` points in all."""
    drawn = [flow for flow in comparison.worst_flows if flow.largest("segments")][:FLOWS_DRAWN]
    if not any(run.points for run in comparison.runs):
        return element("p", "This run kept no points.", class_="note"), []
    each = max(budget // (len(drawn) * len(comparison.runs)), 200)
    parts, plots = [], []
    for number, flow in enumerate(drawn):
        panels = [
            panel(run, row, comparison.start_ns, each)
            for run, row in zip(comparison.runs, flow.rows, strict=True)
        ]
        plots.append(_plot(comparison, flow, panels))
        parts.append(_figure(comparison, flow, panels, is_open=number < 2))
    missing = len(comparison.flows) - len(drawn)
    if missing > 0:
        text = (
            f"{len(drawn)} of {count(len(comparison.flows))} flows are drawn: those most out of "
            "order, then the largest. The table of flows lists more."
        )
        parts.append(element("p", text, class_="note"))
    return joined(parts), plots


def _thinned(points: list[list[int]], exceptions: int, budget: int) -> Panel:
    exceptional = {(point[1], point[2]) for point in points if point[3] not in (SENT, IN_ORDER)}
    plain = [point for point in points if (point[1], point[2]) not in exceptional]
    # Includes the sent points of segments that arrived out of order.
    marked = [point for point in points if (point[1], point[2]) in exceptional]
    step = max(-(-len(marked) * 2 // budget), 1)
    chosen = _every(marked, step)
    every = max(-(-len(plain) // max(budget - len(chosen), 1)), 1)
    keep = {id(point) for point in chosen} | {id(point) for point in _every(plain, every)}
    return Panel([p for p in points if id(p) in keep], len(points), every, exceptions)


def _every(points: list[list[int]], step: int) -> list[list[int]]:
    # By segment, so that its sent and arrived points stay together.
    segments: dict[tuple[int, int], int] = {}
    for point in points:
        segments.setdefault((point[1], point[2]), len(segments))
    return [point for point in points if segments[point[1], point[2]] % step == 0]


def _plot(comparison: Comparison, flow: Flow, panels: list[Panel]) -> dict[str, Any]:
    return {
        "tcp": flow.name[1] == "tcp",
        "panels": [
            {
                "rule": run.rule,
                # A segment without an arrival is known to be lost only if no points are missing.
                "whole": len(part.points) == part.kept and not run.result["truncated"],
                "points": part.points,
            }
            for run, part in zip(comparison.runs, panels, strict=True)
        ],
    }


def _figure(comparison: Comparison, flow: Flow, panels: list[Panel], is_open: bool) -> Html:
    unit = "relative sequence number" if flow.name[1] == "tcp" else "packet number"
    notes = [
        note
        for run, part in zip(comparison.runs, panels, strict=True)
        if (note := _thinning(run, part))
    ]
    canvases = [
        element(
            "div",
            element(
                "p",
                element("b", run.rule),
                " ",
                element("span", _counts(row), class_="quiet"),
                class_="panel-head",
            ),
            element(
                "div",
                class_="canvas",
                tabindex="0",
                role="application",
                aria_label=f"Plot of {flow} under {run.rule}: {_counts(row)}. Arrow keys pan, plus and "
                "minus zoom, n selects the next point out of order, Escape resets.",
            ),
            class_="panel",
        )
        for run, row in zip(comparison.runs, flow.rows, strict=True)
    ]
    return element(
        "details",
        element("summary", element("span", str(flow), class_="addresses"), f" from {flow.name[0]}"),
        element(
            "figure",
            element("div", *canvases, class_="panels"),
            element(
                "figcaption",
                f"Each bar is a segment. X axis: when it was sent or arrived; y axis: its {unit}.",
                *(f" {note}" for note in notes),
            ),
            class_="plot",
        ),
        _points_table(comparison, panels),
        class_="flow",
        open=is_open,
    )


def _counts(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "no such flow"
    if not row["early"] and not row["late"] and not row["duplicates"]:
        parts = ["in order"]
    else:
        parts = [f"{count(row['early'])} early", f"{count(row['late'])} late"]
    if row["duplicates"]:
        parts.append(plural(row["duplicates"], "duplicate"))
    if row["lost"]:
        parts.append(f"{count(row['lost'])} lost")
    return ", ".join(parts)


def _thinning(run: Run, part: Panel) -> str:
    notes = []
    if run.result["truncated"]:
        notes.append(f"The run under {run.rule} kept only its first points.")
    if len(part.points) != part.kept:
        notes.append(
            f"Drawn under {run.rule}: one of every {count(part.every)} segments in order, and "
            f"{count(part.exceptions_drawn)} of {plural(part.exceptions, 'point')} out of order."
        )
    return " ".join(notes)


def _points_table(comparison: Comparison, panels: Sequence[Panel]) -> Html:
    entries = [
        (run.rule, point)
        for run, part in zip(comparison.runs, panels, strict=True)
        for point in part.points
    ]
    name = "Points as a table"
    if len(entries) > TABLE_ROWS:
        entries = [entry for entry in entries if entry[1][3] not in (SENT, IN_ORDER)]
        name = "Points out of order as a table"
        if len(entries) > TABLE_ROWS:
            name += f" (the first {TABLE_ROWS} of {count(len(entries))} drawn)"
    rows = [
        row(
            rule,
            "sent" if point[3] == SENT else f"arrived {KINDS[point[3]]}",
            count(point[4] + 1),
            duration(point[0]),
            count(point[1]),
            count(point[2]),
            class_=KINDS[point[3]].replace(" ", "-"),
        )
        for rule, point in entries[:TABLE_ROWS]
    ]
    heads = ("rule", "event", "number", "time", "position", "length")
    return element(
        "details", element("summary", name), table(None, heads, rows), class_="collapsed"
    )
