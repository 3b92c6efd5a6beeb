"""The page. In: runs. Out: one HTML file with its style, script and data inside. Order: cases as given,
each with its strips, plots, histograms and counts; closed where there are many and nothing is wrong.
Drops: points and sections beyond a budget for the whole page, which the page says.
"""

import json
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pyfw.replay.report.cases import anchor, case_table, verdict_mark
from pyfw.replay.report.histograms import histograms
from pyfw.replay.report.markup import Html, element, joined
from pyfw.replay.report.run import Comparison, Run, compare
from pyfw.replay.report.sequence import figures
from pyfw.replay.report.strips import strips
from pyfw.replay.report.tallies import counters, drops, fates, flow_table
from pyfw.replay.report.verdict import facts, outcome, sentence

# About 30 bytes each, so a page of large runs stays near 2 MB.
POINTS_ON_A_PAGE = 60_000
# More cases than this are closed, unless they fail.
_OPEN_CASES = 3
# The browser is told to fetch nothing, whatever the text of a case holds.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def write_report(path: str | os.PathLike[str], runs: Sequence[Run]) -> None:
    """Writes the report of these runs."""
    Path(path).write_text(render(runs), encoding="utf-8", newline="\n")


def render(runs: Sequence[Run]) -> str:
    """The report of these runs."""
    comparisons = compare(runs)
    plots: list[dict[str, Any]] = []
    sections = []
    for number, comparison in enumerate(comparisons, 1):
        budget = POINTS_ON_A_PAGE // len(comparisons)
        parts, drawn = figures(comparison, budget)
        plots += drawn
        opened = len(comparisons) <= _OPEN_CASES or comparison.passed is False
        sections.append(_section(comparison, number, parts, opened))
    headline = sentence(comparisons)
    body = joined(
        [
            _masthead(headline, facts(comparisons) if comparisons else ""),
            element("main", case_table(comparisons), *sections),
            element(
                "footer",
                "early: out of order as Linux’s receiver counts it (TCPOFOQueue). "
                "late: after one that was sent behind it (RFC 4737). "
                "A segment can be both; plots then show it as late. "
                "A batch is one send: segments of one length, closed by at most one shorter one.",
            ),
            element("div", id="tip", role="status", hidden=True),
            element("script", _json(plots), type="application/json", id="plots"),
            element("script", Html(_script())),
        ],
        "\n",
    )
    return (
        f"<!doctype html>\n{element('html', _head(headline), element('body', body), lang='en')}\n"
    )


def _head(headline: str) -> Html:
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"pyfw replay: {headline}"),
        element("style", Html(_resource("page.css"))),
    )


def _masthead(headline: str, below: str) -> Html:
    return element(
        "header",
        element(
            "div",
            element("span", "pyfw replay"),
            element("button", "Theme: system", id="theme", type="button", hidden=True),
            class_="top",
        ),
        element("h1", joined(map(_unbroken, headline.split(" ")), " ")),
        element("p", below, class_="quiet"),
        element(
            "noscript", element("p", "Without scripts the plots stay empty; tables hold all of it.")
        ),
    )


def _unbroken(word: str) -> str:
    # Names of rules and cases have hyphens, where a browser may break a line.
    return element("span", word, class_="word") if "-" in word and len(word) < 24 else word


def _section(comparison: Comparison, number: int, plots: Html, opened: bool) -> Html:
    titles = dict.fromkeys(run.title for run in comparison.runs if run.title != comparison.case)
    return element(
        "details",
        element(
            "summary",
            element("h2", comparison.case),
            element("span", *(_chip(run) for run in comparison.runs), class_="chips"),
        ),
        *(element("p", title, class_="lead") for title in titles if title),
        *(_alarm(run) for run in comparison.runs if run.result["error"]),
        *(_difference(run) for run in comparison.runs if run.diff),
        element("h3", "Batches, in the order in which they were sent"),
        strips(comparison),
        element("h3", "Sequence against time"),
        plots,
        element("h3", "Counts"),
        flow_table(comparison),
        histograms(comparison),
        drops(comparison),
        fates(comparison),
        counters(comparison),
        class_="case",
        id=anchor(number),
        open=opened,
    )


def _chip(run: Run) -> Html:
    mark = verdict_mark(run) if run.expected_ok is not None or run.result["error"] else None
    return element("span", element("b", run.rule), f" {outcome(run)} ", mark, class_="chip")


def _alarm(run: Run) -> Html:
    error = run.result["error"]
    text = f"The capture is wrong at byte {error['offset']:,}: {error['text']}. "
    return element("p", text + "What came before was replayed.", class_="alarm", role="alert")


def _difference(run: Run) -> Html:
    lines = [
        element("ins" if line.startswith("+") else "del", line) if line[:1] in ("+", "-") else line
        for line in run.diff.splitlines()
    ]
    return element(
        "figure",
        element("figcaption", f"What differs from what {run.case} expects, under {run.rule}"),
        element("pre", joined(lines, "\n"), tabindex="0"),
        class_="diff",
    )


def _json(value: Any) -> Html:
    # Nothing in a script element may look like its end.
    return Html(json.dumps(value, separators=(",", ":")).replace("<", "\\u003c"))


def _script() -> str:
    parts = "\n".join(_resource(name) for name in ("axis.js", "plot.js", "gestures.js", "page.js"))
    return f'(() => {{\n"use strict";\n{parts}}})();'


def _resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
