"""Histograms as tables of bars: a column per rule, all on one scale."""

from bisect import bisect_right
from collections import deque
from collections.abc import Mapping, Sequence

from pyfw.replay.report.markup import Html, element, joined
from pyfw.replay.report.number_format import count
from pyfw.replay.report.run import DUPLICATE, LATE, SENT, Comparison, Run

# More values than this are grouped by powers of two.
_ROWS = 12


def histograms(comparison: Comparison) -> Html:
    """Returns the histograms of batch sizes and of reordering extents."""
    sizes = [run.batch_sizes for run in comparison.runs]
    extents = [reordering_extents(run) for run in comparison.runs]
    rules = [run.rule for run in comparison.runs]
    parts = [_histogram("Batches by number of datagrams", "datagrams", rules, sizes)]
    if any(extents):
        part = " (of the points kept)" if comparison.truncated else ""
        title = f"Late segments by reordering extent (RFC 4737){part}"
        parts.append(_histogram(title, "extent", rules, extents))
    return element("div", joined(parts), class_="histograms")


def reordering_extents(run: Run) -> dict[int, int]:
    """Returns {extent: late segments}: arrivals since the first one that was sent later (RFC 4737 §4.2.1)."""
    extents: dict[int, int] = {}
    for points in run.points.values():
        in_flight: dict[tuple[int, int], deque[int]] = {}
        sent = 0
        highest: list[int] = []  # among the arrivals up to each one; ascending, so bisect works
        for _, _, position, length, kind in points:
            same = in_flight.setdefault((position, length), deque())
            if kind == SENT:
                same.append(sent)
                sent += 1
            elif kind != DUPLICATE and same:
                number = same.popleft()
                if kind == LATE and (extent := len(highest) - bisect_right(highest, number)):
                    extents[extent] = extents.get(extent, 0) + 1
                highest.append(max(number, highest[-1] if highest else number))
    return extents


def _histogram(
    title: str, axis: str, rules: Sequence[str], counts: Sequence[Mapping[int, int]]
) -> Html:
    bins = _bins(sorted({value for column in counts for value in column}))
    columns = [
        [sum(column.get(value, 0) for value in values) for values in bins.values()]
        for column in counts
    ]
    most = max((n for column in columns for n in column), default=0) or 1
    heads = [element("th", axis, scope="col", class_="n")]
    heads += [element("th", rule, scope="col") for rule in rules]
    rows = []
    for index, name in enumerate(bins):
        cells = [
            element(
                "td",
                element("span", class_="bar", style=f"width:{100 * column[index] / most:.1f}%")
                if column[index]
                else None,
                element("span", count(column[index]), class_="n" if column[index] else "n none"),
                class_="level",
            )
            for column in columns
        ]
        rows.append(element("tr", element("th", name, scope="row", class_="n"), *cells))
    return element(
        "div",
        element(
            "table",
            element("caption", title),
            element("thead", element("tr", *heads)),
            element("tbody", *rows),
            class_="histogram",
        ),
        class_="scroll",
    )


def _bins(values: Sequence[int]) -> dict[str, list[int]]:
    if len(values) <= _ROWS:
        return {count(value): [value] for value in values}
    bins: dict[str, list[int]] = {}
    for value in values:
        power = value.bit_length()
        low, high = 1 << (power - 1) if power else 0, (1 << power) - 1
        name = count(low) if low >= high else f"{count(low)}–{count(high)}"
        bins.setdefault(name, []).append(value)
    return bins
