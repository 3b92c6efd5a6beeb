"""Terminal output: a line per case; tables for captures, for several rules, and with -v.

Lines fit 80 columns, except for long names and addresses. Only the progress line depends on the speed of the
machine.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TextIO

from pyfw.replay.compare import flow_text
from pyfw.replay.expectation import flatten
from pyfw.replay.runner import TaskResult

_STYLES = {"passed": "32", "updated": "33", "failed": "1;31", "broken": "1;31", "shown": "0"}
_ROWS = 12
_DIFFERENCES = 20
_TEXT_WIDTH = 42


def styled(text: str, status: str, *, colour: bool) -> str:
    """Colours a word by status, if colours are on."""
    return f"\x1b[{_STYLES[status]}m{text}\x1b[0m" if colour else text


def supports_colour(stream: TextIO) -> bool:
    """Returns whether to colour: on a terminal, unless NO_COLOR is set and not empty (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def group_lines(group: Sequence[TaskResult], *, verbose: int, colour: bool) -> Iterator[str]:
    """Returns the lines of one case or capture under one or more rules. verbose: -1 for -q, 1 for -v."""
    detailed = verbose > 0 or len(group) > 1 or group[0].status in ("shown", "broken")
    for one in group:
        is_quiet = verbose < 0 and one.status not in ("failed", "broken", "updated")
        if one.status != "shown" and not is_quiet:
            label = one.name if len(group) == 1 else f"{one.name} ({one.rule})"
            yield f"{styled(f'{one.status:<8}', one.status, colour=colour)}{label}"
            if one.why and verbose > 0:
                yield from (f"        {line}" for line in one.why.splitlines())
        for line in one.problem.splitlines():
            yield f"{one.name}: {line}"
        for line in one.differences[: None if verbose > 0 else _DIFFERENCES]:
            yield f"{one.name}: {line}"
        if (more := len(one.differences) - _DIFFERENCES) > 0 and verbose <= 0:
            yield f"{one.name}: … and {more} more (-v shows all)"
    replayed = [one for one in group if one.result and not _is_unreadable(one.result)]
    if detailed and replayed and verbose >= 0:
        yield from _details(replayed, verbose=verbose)


def count_line(results: Sequence[TaskResult], deselected: int, *, colour: bool) -> str:
    """Returns the last line, "43 cases: 42 passed, 1 failed"."""
    counts: Counter[str] = Counter(one.status for one in results)
    cases, total = len({one.name for one in results}), len(results)
    runs = f"{cases} case{'s' if cases != 1 else ''}"
    if total != cases:
        runs = f"{total} replays of {runs}"
    elif set(counts) == {"shown"}:
        runs = f"{total} replay{'s' if total != 1 else ''}"
    order = ("passed", "failed", "broken", "updated", "shown")
    parts = [styled(f"{counts[s]} {s}", s, colour=colour) for s in order if counts[s]]
    if deselected:
        parts.append(f"{deselected} deselected")
    return f"{runs}: {', '.join(parts)}" if parts else f"{runs}"


def verdict(result: dict[str, Any]) -> str:
    """Returns the verdict on order in a sentence."""
    flows = result["flows"]
    if not flows:
        return "no flows"
    early, late = _sum(flows, "early"), _sum(flows, "late")
    segments = _sum(flows, "segments")
    amount = f"{segments} segment{'s' if segments != 1 else ''}"
    lost = _sum(flows, "lost")
    # A TCP receiver counts every segment after a lost one as early; that alone is no reordering.
    bad = sum(1 for flow in flows if flow["late"] or (flow["early"] and not flow["lost"]))
    if not bad and early:
        return f"in order, {lost} lost: {early} early after gaps, 0 late of {amount}"
    if bad:
        return (
            f"out of order: {bad} of {len(flows)} flows, {early} early and {late} late of {amount}"
        )
    return f"in order: {len(flows)} flow{'s' if len(flows) != 1 else ''}, {amount}, 0 early, 0 late"


def _is_unreadable(result: dict[str, Any]) -> bool:
    return result["error"] is not None and not result["packets"]


def _details(group: Sequence[TaskResult], *, verbose: int) -> Iterator[str]:
    first = group[0].result or {}
    skipped = f", {first['skipped']} not IP" if first["skipped"] else ""
    unplaced = f", {first['unplaced']} from no end" if first["unplaced"] else ""
    yield (
        f"{group[0].name}: {first['packets']} packets, {bytes_text(first['bytes'])}, "
        f"{first['duration_ns'] / 1e9:.6f} s{skipped}{unplaced}"
    )
    if len(group) > 1:
        yield from _rules(group)
    for one in group:
        result = one.result or {}
        yield f"  {one.rule}: {verdict(result)}"
        yield from _flows(result, verbose=verbose)
        yield from _connections(result, verbose=verbose)
        yield from _drops(result)
        yield from _stages(result)
        if result["truncated"]:
            yield "    (reports are truncated: the case's keep limit was reached)"


def _rules(group: Sequence[TaskResult]) -> Iterator[str]:
    yield "  rule        batches  saved  segments   early    late  spurious    lost"
    for one in group:
        result = one.result or {}
        flows = result["flows"]
        cells = [_sum(flows, key) for key in ("segments", "early", "late", "spurious", "lost")]
        yield (
            f"  {one.rule:<10}{result['batch_count']:>9}{result['sends_saved']:>7}"
            f"{cells[0]:>10}{cells[1]:>8}{cells[2]:>8}{cells[3]:>10}{cells[4]:>8}"
        )


def _flows(result: dict[str, Any], *, verbose: int) -> Iterator[str]:
    flows = list(result["flows"])
    hidden = 0
    if len(flows) > _ROWS and verbose <= 0:
        anomalies = ("early", "late", "lost", "duplicates")
        flows.sort(key=lambda f: (-sum(f[key] for key in anomalies), -f["segments"], f["id"]))
        hidden = len(flows) - _ROWS
        flows = flows[:_ROWS]
    if flows:
        yield f"    {'flow':<{_TEXT_WIDTH}} segs  early  late   dup  lost"
    for flow in flows:
        cells = [flow["early"], flow["late"], flow["duplicates"], flow["lost"]]
        numbers = f"{flow['segments']:>5}{cells[0]:>7}{cells[1]:>6}{cells[2]:>6}{cells[3]:>6}"
        yield from _row(f"{flow['id']} {flow_text(flow)}", numbers)
    if hidden:
        yield f"    … and {hidden} more flows (-v shows all)"


def _connections(result: dict[str, Any], *, verbose: int) -> Iterator[str]:
    connections = result["connections"]
    shown = connections if verbose > 0 else connections[:_ROWS]
    if shown:
        yield f"    {'connection':<{_TEXT_WIDTH}} batches  datagrams  saved"
    for one in shown:
        saved = one["datagrams"] - one["batches"]
        numbers = f"{one['batches']:>8}{one['datagrams']:>11}{saved:>7}"
        yield from _row(f"{one['source']} > {one['destination']}", numbers)
    if len(connections) > len(shown):
        yield f"    … and {len(connections) - len(shown)} more connections (-v shows all)"


def _drops(result: dict[str, Any]) -> Iterator[str]:
    drops: list[str] = []
    for name, end in result["ends"].items():
        for counter, count in flatten(end["counters"]).items():
            if "drops." in counter:
                path = counter.replace(".drops.", " ").replace("_drops.", " ")
                drops.append(f"{name} {path} {count}")
    for i, text in enumerate(drops or ["none"]):
        yield f"    {'drops: ' if not i else '       '}{text}"
    for i, (name, count) in enumerate(sorted(result["fate_counts"].items())):
        end, _, kind = name.rpartition(".")
        yield f"    {'wire:  ' if not i else '       '}from {end} {kind} {count}"


def _stages(result: dict[str, Any]) -> Iterator[str]:
    for end, counts in result["ends"].items():
        for name, stage in counts.get("stages", {}).items():
            amount = f"{stage['frames']} frames, {stage['segments']} segments"
            yield f"    stage {name} at {end}: {amount}"
            for counter, count in flatten(stage).items():
                if counter not in ("frames", "segments"):
                    label = counter.replace("drops.", "dropped ").removeprefix("own.")
                    yield f"           {label} {count}"


def _row(text: str, numbers: str) -> Iterator[str]:
    if len(text) > _TEXT_WIDTH:
        yield f"    {text}"
        text = ""
    yield f"    {text:<{_TEXT_WIDTH}}{numbers}"


def _sum(flows: Iterable[dict[str, Any]], key: str) -> int:
    return sum(flow[key] for flow in flows)


def bytes_text(count: float) -> str:
    """Formats a number of bytes with a decimal unit."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


class ProgressLine:
    """A line that shows position, rate and remaining time, once a replay takes longer than half a second."""

    def __init__(self, stream: TextIO, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock_s = clock_s
        self._start_s = clock_s()
        self._written = False

    def __call__(self, bytes_read: int, bytes_total: int | None, packets: int) -> bool:
        """Updates the line; never interrupts the replay."""
        elapsed_s = self._clock_s() - self._start_s
        if elapsed_s >= 0.5:
            text = f"{bytes_text(bytes_read)}, {packets} packets, {packets / elapsed_s:,.0f}/s"
            if bytes_total and bytes_read:
                left_s = elapsed_s * max(bytes_total - bytes_read, 0) / bytes_read
                text = f"{bytes_read / bytes_total:4.0%} {text}, {left_s:.0f} s left"
            self._stream.write(f"\r\x1b[2K{text}")
            self._stream.flush()
            self._written = True
        return True

    def clear(self) -> None:
        """Clears the line and restarts the clock."""
        if self._written:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()
            self._written = False
        self._start_s = self._clock_s()
