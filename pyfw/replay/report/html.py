"""The page: one HTML file with its style, script and data. Each case has a section with its batches, plots,
histograms and counters; if there are many cases, only failed ones are open.
"""

import json
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pyfw.replay.report.batch_chart import batch_charts
from pyfw.replay.report.cases import anchor, case_table, verdict_mark
from pyfw.replay.report.counter_tables import counter_table, drop_table, flow_table, wire_table
from pyfw.replay.report.histograms import histograms
from pyfw.replay.report.markup import Html, element, joined
from pyfw.replay.report.run import Comparison, Run, compare
from pyfw.replay.report.sequence import figures
from pyfw.replay.report.verdict import headline, order_summary, totals

# A point takes about 30 bytes, so a page of large runs stays near 2 MB.
POINTS_ON_A_PAGE = 60_000
# With more cases than this, only failed ones are open.
_OPEN_CASES = 3
# Forbids all requests, whatever the text of a case contains.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def write_report(path: str | os.PathLike[str], runs: Sequence[Run]) -> None:
    """Writes the report of these runs to a file."""
    Path(path).write_text(render(runs), encoding="utf-8", newline="\n")


def render(runs: Sequence[Run]) -> str:
    """Returns the report of these runs."""
    comparisons = compare(runs)
    plots: list[dict[str, Any]] = []
    sections = []
    for number, comparison in enumerate(comparisons, 1):
        budget = POINTS_ON_A_PAGE // len(comparisons)
        parts, drawn = figures(comparison, budget)
        plots += drawn
        is_open = len(comparisons) <= _OPEN_CASES or comparison.passed is False
        sections.append(_section(comparison, number, parts, is_open))
    title = headline(comparisons)
    body = joined(
        [
            _header(title, totals(comparisons) if comparisons else ""),
            element("main", case_table(comparisons), *sections),
            element(
                "footer",
                "Early: arrived before a segment that was sent earlier, as Linux counts it (TCPOFOQueue). "
                "Late: arrived after a segment that was sent later (RFC 4737). "
                "A segment can be both; plots then show it as late. "
                "A batch is one send: datagrams of one length, and at most one shorter one at the end.",
            ),
            element("div", id="tip", role="status", hidden=True),
            element("script", _json(plots), type="application/json", id="plots"),
            element("script", Html(_script())),
        ],
        "\n",
    )
    return f"<!doctype html>\n{element('html', _head(title), element('body', body), lang='en')}\n"


def _head(title: str) -> Html:
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"pyfw replay: {title}"),
        element("style", Html(_resource("page.css"))),
    )


def _header(title: str, subtitle: str) -> Html:
    return element(
        "header",
        element(
            "div",
            element("span", "pyfw replay"),
            element("button", "Theme: system", id="theme", type="button", hidden=True),
            class_="top",
        ),
        element("h1", joined(map(_unbroken, title.split(" ")), " ")),
        element("p", subtitle, class_="quiet"),
        element(
            "noscript", element("p", "The plots need JavaScript; the tables contain the same data.")
        ),
    )


def _unbroken(word: str) -> str:
    # A browser may break a line at the hyphen of a rule or case name.
    return element("span", word, class_="word") if "-" in word and len(word) < 24 else word


def _section(comparison: Comparison, number: int, plots: Html, is_open: bool) -> Html:
    titles = dict.fromkeys(run.title for run in comparison.runs if run.title != comparison.case)
    return element(
        "details",
        element(
            "summary",
            element("h2", comparison.case),
            element("span", *(_chip(run) for run in comparison.runs), class_="chips"),
        ),
        *(element("p", title, class_="lead") for title in titles if title),
        _capture_error(comparison.runs[0]),
        *(_difference(run) for run in comparison.runs if run.diff),
        element("h3", "Batches in sending order"),
        batch_charts(comparison),
        element("h3", "Time–sequence plots"),
        plots,
        element("h3", "Counters"),
        flow_table(comparison),
        histograms(comparison),
        drop_table(comparison),
        wire_table(comparison),
        counter_table(comparison),
        class_="case",
        id=anchor(number),
        open=is_open,
    )


def _chip(run: Run) -> Html:
    mark = verdict_mark(run) if run.expected_ok is not None or run.result["error"] else None
    return element("span", element("b", run.rule), f" {order_summary(run)} ", mark, class_="chip")


def _capture_error(run: Run) -> Html | None:
    # Every rule replays the same capture.
    error = run.result["error"]
    if not error:
        return None
    text = f"The capture is corrupt at byte {error['offset']:,}: {error['text']}. "
    return element("p", text + "The packets before it were replayed.", class_="error", role="alert")


def _difference(run: Run) -> Html:
    lines = [
        element("ins" if line.startswith("+") else "del", line) if line[:1] in ("+", "-") else line
        for line in run.diff.splitlines()
    ]
    return element(
        "figure",
        element("figcaption", f"Differences from the expectation of {run.case} under {run.rule}"),
        element("pre", joined(lines, "\n"), tabindex="0"),
        class_="diff",
    )


def _json(value: Any) -> Html:
    # "</script>" in a string would end the element.
    return Html(json.dumps(value, separators=(",", ":")).replace("<", "\\u003c"))


def _script() -> str:
    parts = "\n".join(
        _resource(name) for name in ("axis.js", "plot.js", "interaction.js", "page.js")
    )
    return f'(() => {{\n"use strict";\n{parts}}})();'


def _resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
