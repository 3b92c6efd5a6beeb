"""What was counted. In: a comparison. Out: flows, drops by reason, what the wire did, and all counters,
each a table with a column a rule. Every number is the run's own; nothing is recounted but fates.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pyfw.replay.report.markup import Html, element, joined, row, table
from pyfw.replay.report.quantity import count, of
from pyfw.replay.report.run import Comparison

FLOW_ROWS = 60
_FLOW_COLUMNS = (
    "segments",
    "delivered",
    "lost",
    "early",
    "late",
    "duplicates",
    "extent",
    "distance",
    "gaps",
    "spurious",
)

Counts = dict[tuple[str, ...], list[int]]


def flow_table(comparison: Comparison) -> Html:
    """A row a flow and rule."""
    rows = [
        row(
            str(flow),
            run.rule,
            *(count(counts[name]) for name in _FLOW_COLUMNS),
            "equal" if counts["bytes_equal"] else "differ",
        )
        for flow in comparison.worst_flows[:FLOW_ROWS]
        for run, counts in zip(comparison.runs, flow.rows, strict=True)
        if counts
    ]
    heads = ("flow", "rule", *_FLOW_COLUMNS, "bytes")
    rest = len(comparison.flows) - FLOW_ROWS
    note = (
        element("p", f"{of(rest, 'flow')} more, less out of order and smaller.", class_="note")
        if rest > 0
        else None
    )
    return joined([table("Flows", heads, rows, "flows"), note])


def drops(comparison: Comparison) -> Html | None:
    """Every drop that was counted, by end, place and reason."""
    counts = _across(
        {
            (key[0], _place(key), key[-1]): n
            for key, n in _counters(run.result["ends"])
            if _is_drop(key) and n
        }
        for run in comparison.runs
    )
    if not counts:
        return element("p", "Neither end dropped anything.", class_="note")
    return _by_rule(comparison, "Drops", ("end", "where", "reason"), counts)


def fates(comparison: Comparison) -> Html | None:
    """What the impairment did to datagrams; None where it did nothing."""
    found: list[dict[tuple[str, ...], int]] = []
    for run in comparison.runs:
        tally: dict[tuple[str, ...], int] = {}
        for _, end, _, fate in run.result["fates"]:
            key = (end, fate.replace("_", " "))
            tally[key] = tally.get(key, 0) + 1
        found.append(tally)
    counts = _across(found)
    if not counts:
        return None
    cut = ", as far as it was kept" if comparison.truncated else ""
    title = f"What the wire did to datagrams{cut}"
    return _by_rule(comparison, title, ("sent by", "fate"), counts)


def counters(comparison: Comparison) -> Html:
    """All counters of both ends, folded away; those that are zero everywhere are left out."""
    counts = _across(dict(_counters(run.result["ends"])) for run in comparison.runs)
    rows = {key: values for key, values in counts.items() if any(values)}
    named: Counts = {
        (end, " ".join(names).replace("_", " ")): n for (end, *names), n in rows.items()
    }
    silent = len(counts) - len(rows)
    return element(
        "details",
        element("summary", "All counters"),
        _by_rule(comparison, None, ("end", "counter"), named),
        element("p", f"{of(silent, 'counter')} at zero left out.", class_="note"),
        class_="behind",
    )


def _by_rule(
    comparison: Comparison, title: str | None, heads: Sequence[str], counts: Counts
) -> Html:
    rows = [row(key[0], *key[1:], *map(count, values)) for key, values in counts.items()]
    return table(title, (*heads, *(run.rule for run in comparison.runs)), rows, "tally")


def _across(
    columns: Iterator[dict[tuple[str, ...], int]] | list[dict[tuple[str, ...], int]],
) -> Counts:
    filled = list(columns)
    keys = dict.fromkeys(key for column in filled for key in column)
    return {key: [column.get(key, 0) for column in filled] for key in keys}


def _counters(ends: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], int]]:
    for end, state in ends.items():
        yield (end, "handshakes"), state["handshakes"]
        yield from _flat((end,), state["counters"])


def _flat(
    prefix: tuple[str, ...], counts: Mapping[Any, Any]
) -> Iterator[tuple[tuple[str, ...], int]]:
    for name, value in counts.items():
        key = (*prefix, str(name))
        if isinstance(value, Mapping):
            yield from _flat(key, value)
        elif isinstance(value, int):
            yield key, value


def _is_drop(key: tuple[str, ...]) -> bool:
    return "drops" in key[1:-1] or "handshake_drops" in key[1:-1]


def _place(key: tuple[str, ...]) -> str:
    return "handshakes" if "handshake_drops" in key else key[1]
