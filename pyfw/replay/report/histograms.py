"""Histograms. In: a comparison. Out: tables whose cells are bars, rules side by side on one scale."""

from bisect import bisect_right
from collections import deque
from collections.abc import Mapping, Sequence

from pyfw.replay.report.markup import Html, element, joined
from pyfw.replay.report.quantity import count
from pyfw.replay.report.run import DUPLICATE, LATE, SENT, Comparison, Run

# Above so many values they are put together by powers of two.
_ROWS = 12


def histograms(comparison: Comparison) -> Html:
    """How large batches were, and how far late segments had been overtaken."""
    sizes = [run.batch_sizes for run in comparison.runs]
    extents = [reordering_extents(run) for run in comparison.runs]
    rules = [run.rule for run in comparison.runs]
    parts = [_histogram("Batches by number of datagrams", "datagrams", rules, sizes)]
    if any(extents):
        kept = "that were kept " if comparison.truncated else ""
        title = f"Late segments {kept}by reordering extent (RFC 4737)"
        parts.append(_histogram(title, "extent", rules, extents))
    return element("div", joined(parts), class_="histograms")


def reordering_extents(run: Run) -> dict[int, int]:
    """Of each late point: how many arrivals ago the first one came that was sent behind it (RFC 4737,
    section 4.2.1)."""
    found: dict[int, int] = {}
    for points in run.points.values():
        waiting: dict[tuple[int, int], deque[int]] = {}
        sendings = 0
        highest: list[int] = []  # of all arrivals so far; never falls, so it can be searched
        for _, _, position, length, kind in points:
            same = waiting.setdefault((position, length), deque())
            if kind == SENT:
                same.append(sendings)
                sendings += 1
            elif kind != DUPLICATE and same:
                number = same.popleft()
                if kind == LATE and (extent := len(highest) - bisect_right(highest, number)):
                    found[extent] = found.get(extent, 0) + 1
                highest.append(max(number, highest[-1] if highest else number))
    return found


def _histogram(
    title: str, axis: str, rules: Sequence[str], counts: Sequence[Mapping[int, int]]
) -> Html:
    bins = _bins(sorted({value for column in counts for value in column}))
    tallies = [
        [sum(column.get(value, 0) for value in values) for values in bins.values()]
        for column in counts
    ]
    most = max((n for column in tallies for n in column), default=0) or 1
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
            for column in tallies
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
