"""The table of cases: a row per run, each case linked to its section."""

from collections.abc import Sequence

from pyfw.replay.report.markup import Html, element, joined, table
from pyfw.replay.report.number_format import count
from pyfw.replay.report.run import Comparison, Run
from pyfw.replay.report.verdict import case_status

HEADS = (
    "case",
    "rule",
    "verdict",
    "segments",
    "early",
    "late",
    "duplicates",
    "lost",
    "batches",
    "datagrams",
    "sends saved",
)


def case_table(comparisons: Sequence[Comparison]) -> Html:
    """Returns the table of all runs."""
    rows = [
        _row(comparison, run, number, first=run is comparison.runs[0])
        for number, comparison in enumerate(comparisons, 1)
        for run in comparison.runs
    ]
    return table(
        "Cases", HEADS, rows, "cases" if _has_verdicts(comparisons) else "cases without-verdicts"
    )


def anchor(number: int) -> str:
    """Returns the ID of a case's section."""
    return f"case-{number}"


def verdict_mark(run: Run) -> Html:
    """Returns "passed" or "failed" with a sign and a colour."""
    status = case_status(run.expected_ok)
    if run.result["error"]:
        status = "capture error"
    sign = {"passed": "✓ ", "failed": "✗ ", "capture error": "✗ "}.get(status, "")
    return element("span", sign + status, class_=f"mark {status.replace(' ', '-')}")


def _has_verdicts(comparisons: Sequence[Comparison]) -> bool:
    runs = [run for comparison in comparisons for run in comparison.runs]
    return any(run.expected_ok is not None or run.result["error"] for run in runs)


def _row(comparison: Comparison, run: Run, number: int, first: bool) -> Html:
    name = (
        element(
            "th",
            element("a", comparison.case, href=f"#{anchor(number)}"),
            scope="rowgroup",
            rowspan=len(comparison.runs) if len(comparison.runs) > 1 else None,
        )
        if first
        else None
    )
    counts = (
        (run.total("segments"), None),
        (run.total("early"), "early"),
        (run.total("late"), "late"),
        (run.total("duplicates"), "duplicate"),
        (run.total("lost"), "lost"),
        (run.batches, None),
        (run.datagrams, None),
        (run.result["sends_saved"], None),
    )
    cells = (
        element("td", count(n), class_=f"n {kind}" if kind and n else "n") for n, kind in counts
    )
    return element(
        "tr",
        name,
        element("td", run.rule, class_="rule"),
        element("td", verdict_mark(run)),
        joined(cells),
    )
