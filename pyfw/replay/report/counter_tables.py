"""The tables of flows, drops, wire events and counters, each with a column per rule."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pyfw.replay.report.markup import Html, element, joined, row, table
from pyfw.replay.report.number_format import count, plural
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
    """Returns the table of flows: a row per flow and rule."""
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
        element(
            "p",
            f"{plural(rest, 'more flow', 'more flows')}, less out of order or smaller.",
            class_="note",
        )
        if rest > 0
        else None
    )
    return joined([table("Flows", heads, rows, "flows"), note])


def drop_table(comparison: Comparison) -> Html | None:
    """Returns the table of drops by end, path and reason."""
    counts = _across(
        {
            (key[0], _path(key), key[-1]): n
            for key, n in _counters(run.result["ends"])
            if _is_drop(key) and n
        }
        for run in comparison.runs
    )
    if not counts:
        return element("p", "No end dropped anything.", class_="note")
    return _by_rule(comparison, "Drops", ("end", "path", "reason"), counts)


def wire_table(comparison: Comparison) -> Html | None:
    """Returns the table of wire events; None if there are none."""
    columns: list[dict[tuple[str, ...], int]] = []
    for run in comparison.runs:
        column: dict[tuple[str, ...], int] = {}
        for _, end, _, kind in run.result["fates"]:
            key = (end, kind.replace("_", " "))
            column[key] = column.get(key, 0) + 1
        columns.append(column)
    counts = _across(columns)
    if not counts:
        return None
    part = " (of the events kept)" if comparison.truncated else ""
    return _by_rule(
        comparison, f"Datagrams changed by the wire{part}", ("sent by", "event"), counts
    )


def counter_table(comparison: Comparison) -> Html:
    """Returns the collapsed table of all counters that are not zero under every rule."""
    counts = _across(dict(_counters(run.result["ends"])) for run in comparison.runs)
    rows = {key: values for key, values in counts.items() if any(values)}
    named: Counts = {
        (end, " ".join(names).replace("_", " ")): n for (end, *names), n in rows.items()
    }
    zero = len(counts) - len(rows)
    return element(
        "details",
        element("summary", "All counters"),
        _by_rule(comparison, None, ("end", "counter"), named),
        element("p", f"{plural(zero, 'counter')} at zero not shown.", class_="note"),
        class_="collapsed",
    )


def _by_rule(
    comparison: Comparison, title: str | None, heads: Sequence[str], counts: Counts
) -> Html:
    rows = [row(key[0], *key[1:], *map(count, values)) for key, values in counts.items()]
    return table(title, (*heads, *(run.rule for run in comparison.runs)), rows, "by-rule")


def _across(
    columns: Iterable[dict[tuple[str, ...], int]],
) -> Counts:
    columns = list(columns)
    keys = dict.fromkeys(key for column in columns for key in column)
    return {key: [column.get(key, 0) for column in columns] for key in keys}


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


def _path(key: tuple[str, ...]) -> str:
    return "handshakes" if "handshake_drops" in key else key[1]
