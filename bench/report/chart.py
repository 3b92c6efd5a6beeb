"""Draws one quantity of all candidates as an SVG of 360 units across.

Each candidate has a bar as long as its median, a line from the lowest to the highest round, a dot for each
round, and the median as text. Rounds far above the longest bar have no dot, as they would squeeze the others;
the line then ends at the edge.
"""

from collections.abc import Sequence

from bench.quantities import QUANTITIES, Quantity
from bench.results import Results, Spread
from bench.tables import spread_text
from pyfw.replay.report.markup import Html, element

WIDTH = 360
_LABEL, _VALUE, _ROW, _TOP = 122, 62, 24, 4
_BAR = 11
# The right edge, in lengths of the longest bar.
_EDGE = 1.25


def chart(results: Results, net: str, measure: str, quantity: str, **place: int) -> Html:
    """Returns the chart. `place`: position and size inside another SVG."""
    rows = [
        (name, found)
        for name in results.candidates(net, measure)
        if (found := results.spread(net, measure, name, quantity))
    ]
    longest = max((found.value for _, found in rows), default=0.0)
    top = min(longest * _EDGE, max((found.high for _, found in rows), default=0.0)) or 1.0
    drawn = []
    for number, (name, found) in enumerate(rows):
        rounds = list(results.values(net, measure, name, quantity).values())
        kind = results.entries[name].kind if name in results.entries else "floor"
        tooltip = (
            f"{results.title(name)}: {spread_text(found, quantity)} {QUANTITIES[quantity].unit}"
        )
        drawn.append(
            element(
                "g",
                element("title", tooltip),
                *_row(results.title(name), found, rounds, top, QUANTITIES[quantity]),
                class_=f"row {kind}" + (" second" if name == "pyfw-ring" else ""),
                transform=f"translate(0 {_TOP + number * _ROW})",
            )
        )
    return element(
        "svg",
        element("path", d=f"M{_LABEL} 0V{height(len(rows))}", class_="axis"),
        *drawn,
        viewBox=f"0 0 {WIDTH} {height(len(rows))}",
        role="img",
        aria_label=f"{QUANTITIES[quantity].title}, {QUANTITIES[quantity].unit}, by candidate",
        class_="chart",
        **place,
    )


def height(rows: int) -> int:
    """Returns the height of a chart with this many rows."""
    return 2 * _TOP + rows * _ROW


def better(quantity: Quantity) -> str:
    """Returns which direction is better."""
    return "longer is better" if quantity.more_is_better else "shorter is better"


def _row(
    label: str, found: Spread, rounds: Sequence[float], top: float, quantity: Quantity
) -> list[Html]:
    middle = _ROW / 2

    def x(value: float) -> str:
        return f"{_LABEL + min(value / top, 1) * (WIDTH - _LABEL - _VALUE):.1f}"

    length = f"{max(float(x(found.value)) - _LABEL, 1):.1f}"
    dots = [
        element("circle", cx=x(value), cy=f"{middle:g}", r="1.6")
        for value in rounds
        if value <= top
    ]
    return [
        element("text", label, x=_LABEL - 8, y=f"{middle:g}", class_="name"),
        element("rect", x=_LABEL, y=f"{middle - _BAR / 2:g}", width=length, height=_BAR),
        element("path", d=f"M{x(found.low)} {middle:g}H{x(found.high)}", class_="spread"),
        *dots,
        element("text", quantity.text(found.value), x=WIDTH, y=f"{middle:g}", class_="value"),
    ]
