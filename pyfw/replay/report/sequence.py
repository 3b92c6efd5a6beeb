"""The time–sequence plots. In: a comparison. Out: a figure a flow, its points as JSON for plot.js, and
the same points as a table behind it. Drops: points above a budget: of segments that came in order every
n-th is drawn, those out of order stay as long as there is room; the figure says what is missing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyfw.replay.report.markup import Html, element, joined, row, table
from pyfw.replay.report.quantity import count, duration, of
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
    """One flow under one rule: [time_ns, position, length, kind, place among the sent or arrived]."""

    points: list[list[int]]
    kept: int
    """Points that the run gave."""
    every: int
    """Of segments in order, one of so many is drawn."""
    exceptions: int
    """Points out of order that the run gave."""

    @property
    def exceptions_drawn(self) -> int:
        """Points out of order that are drawn."""
        return sum(point[3] in (EARLY, LATE, DUPLICATE) for point in self.points)


def panel(run: Run, flow: Mapping[str, Any] | None, start_ns: int, budget: int) -> Panel:
    """Takes a flow's points, at most `budget` of them."""
    places = {True: 0, False: 0}
    points: list[list[int]] = []
    for time_ns, _, position, length, kind in run.points.get(flow["id"], ()) if flow else ():
        sent = kind == SENT
        points.append([time_ns - start_ns, position, length, kind, places[sent]])
        places[sent] += 1
    exceptions = sum(point[3] not in (SENT, IN_ORDER) for point in points)
    if len(points) <= budget:
        return Panel(points, len(points), 1, exceptions)
    return _thinned(points, exceptions, budget)


def figures(comparison: Comparison, budget: int) -> tuple[Html, list[dict[str, Any]]]:
    """The figures of a case and what plot.js draws in them; `budget`: points for the whole case."""
    drawn = [flow for flow in comparison.worst_flows if flow.largest("segments")][:FLOWS_DRAWN]
    if not any(run.points for run in comparison.runs):
        return element("p", "No points were kept of this run.", class_="note"), []
    each = max(budget // (len(drawn) * len(comparison.runs)), 200)
    parts, plots = [], []
    for number, flow in enumerate(drawn):
        panels = [
            panel(run, row, comparison.start_ns, each)
            for run, row in zip(comparison.runs, flow.rows, strict=True)
        ]
        plots.append(_plot(comparison, flow, panels))
        parts.append(_figure(comparison, flow, panels, opened=number < 2))
    missing = len(comparison.flows) - len(drawn)
    if missing > 0:
        text = (
            f"{len(drawn)} of {count(len(comparison.flows))} flows are drawn: those most out of "
            "order, then the largest. The table of flows has more."
        )
        parts.append(element("p", text, class_="note"))
    return joined(parts), plots


def _thinned(points: list[list[int]], exceptions: int, budget: int) -> Panel:
    odd = {(point[1], point[2]) for point in points if point[3] not in (SENT, IN_ORDER)}
    plain = [point for point in points if (point[1], point[2]) not in odd]
    # A segment out of order keeps the point of its sending.
    marked = [point for point in points if (point[1], point[2]) in odd]
    step = max(-(-len(marked) * 2 // budget), 1)
    chosen = _every(marked, step)
    every = max(-(-len(plain) // max(budget - len(chosen), 1)), 1)
    keep = {id(point) for point in chosen} | {id(point) for point in _every(plain, every)}
    return Panel([p for p in points if id(p) in keep], len(points), every, exceptions)


def _every(points: list[list[int]], step: int) -> list[list[int]]:
    # By segment, not by point: a segment's sending and its arrivals stay together.
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
                # Only then is a segment without an arrival one that was lost.
                "whole": len(part.points) == part.kept and not run.result["truncated"],
                "points": part.points,
            }
            for run, part in zip(comparison.runs, panels, strict=True)
        ],
    }


def _figure(comparison: Comparison, flow: Flow, panels: list[Panel], opened: bool) -> Html:
    unit = "relative sequence number" if flow.name[1] == "tcp" else "ordinal"
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
                aria_label=f"Plot of {flow} under {run.rule}: {_counts(row)}. Arrows move, plus and "
                "minus zoom, n goes to the next point out of order, Escape resets.",
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
                f"Each bar spans a segment: across is when it was sent or arrived, up is its {unit}.",
                *(f" {note}" for note in notes),
            ),
            class_="plot",
        ),
        _points_table(comparison, panels),
        class_="flow",
        open=opened,
    )


def _counts(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "no such flow"
    if not row["early"] and not row["late"] and not row["duplicates"]:
        parts = ["in order"]
    else:
        parts = [f"{count(row['early'])} early", f"{count(row['late'])} late"]
    if row["duplicates"]:
        parts.append(of(row["duplicates"], "duplicate"))
    if row["lost"]:
        parts.append(f"{count(row['lost'])} lost")
    return ", ".join(parts)


def _thinning(run: Run, part: Panel) -> str:
    kept = (
        f"Under {run.rule} the run kept its first points only. " if run.result["truncated"] else ""
    )
    if len(part.points) == part.kept:
        return kept.strip()
    return (
        f"{kept}Under {run.rule} one of every {count(part.every)} segments in order is drawn, and "
        f"{count(part.exceptions_drawn)} of {of(part.exceptions, 'point')} out of order."
    )


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
    heads = ("rule", "event", "place", "time", "position", "length")
    return element("details", element("summary", name), table(None, heads, rows), class_="behind")
