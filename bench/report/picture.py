"""Draws the README's picture: the main charts in two columns, as one SVG."""

from pathlib import Path

from bench.plan import MAIN
from bench.quantities import QUANTITIES, title
from bench.report.chart import WIDTH, better, chart, height
from bench.results import Results
from pyfw.replay.report.markup import Html, element

_CHARTS = (
    ("tcp-1-up", "gbit_s"),
    ("tcp-1-up", "cpu_s_gb"),
    ("tcp-8-up", "gbit_s"),
    ("tcp-1-up", "p50_us"),
    ("udp-64-flood", "received_s"),
    ("udp-64-30000", "cpu_us_packet"),
)
_MARGIN, _GAP, _HEAD, _PADDING = 20, 40, 40, 18
_STYLE = """
svg { --paper: #fcfcfa; --ink: #1c1e21; --quiet: #5d6168; --line: #dddcd5; --accent: #1f5fa8; --peer: #b4b8be;
  font-family: system-ui, -apple-system, "Segoe UI", Inter, "Noto Sans", "DejaVu Sans", sans-serif; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #15171a; --ink: #e4e5e7; --quiet: #9ba1a9; --line: #31353b; --accent: #7ab2f0;
    --peer: #5b616a; }
}
.paper { fill: var(--paper); }
.head { font-size: 13px; font-weight: 600; fill: var(--ink); }
.unit { font-size: 11.5px; fill: var(--quiet); }
.better { font-size: 11.5px; fill: var(--quiet); text-anchor: end; }
"""


def picture(results: Results) -> str:
    """Returns the whole file."""
    shown = [
        (measure, quantity, len(results.candidates(MAIN.name, measure)))
        for measure, quantity in _CHARTS
        if any(
            results.values(MAIN.name, measure, name, quantity)
            for name in results.candidates(MAIN.name, measure)
        )
    ]
    drawn: list[Html] = []
    y = _MARGIN
    for first in range(0, len(shown), 2):
        line = shown[first : first + 2]
        for column, (measure, quantity, _) in enumerate(line):
            drawn += _panel(results, measure, quantity, _MARGIN + column * (WIDTH + _GAP), y)
        y += _HEAD + max(height(rows) for *_, rows in line) + _PADDING
    width = 2 * _MARGIN + 2 * WIDTH + _GAP
    style = Path(__file__).with_name("chart.css").read_text(encoding="utf-8")
    return (
        element(
            "svg",
            element("title", "pyfw compared with its peers: medians, with every round"),
            element("style", Html(_STYLE + style)),
            element("rect", width=width, height=y, class_="paper", rx=6),
            *drawn,
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {width} {y}",
            width=width,
            height=y,
        )
        + "\n"
    )


def _panel(results: Results, measure: str, quantity: str, x: int, y: int) -> list[Html]:
    found = QUANTITIES[quantity]
    rows = len(results.candidates(MAIN.name, measure))
    return [
        element("text", title(measure), x=x, y=y + 12, class_="head"),
        element("text", f"{found.title}, {found.unit}", x=x, y=y + 29, class_="unit"),
        element("text", better(found), x=x + WIDTH, y=y + 29, class_="better"),
        chart(
            results,
            MAIN.name,
            measure,
            quantity,
            x=x,
            y=y + _HEAD,
            width=WIDTH,
            height=height(rows),
        ),
    ]
