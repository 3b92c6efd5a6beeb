"""What a replay says in a terminal: lines in, none wider than 80 columns but for names and addresses.

One line a case; tables for captures, for rules side by side, and where -v asks for them. The same text
whatever the machine's speed: figures of the clock stand in the progress line alone.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TextIO

from pyfw.replay.compare import flow_text
from pyfw.replay.outcome import flat
from pyfw.replay.runner import Judged

_STYLES = {"passed": "32", "updated": "33", "failed": "1;31", "broken": "1;31", "shown": "0"}
_ROWS = 12
_DIFFERENCES = 20
_TEXT_WIDTH = 42


def styled(text: str, status: str, *, colour: bool) -> str:
    """Colours a word by what it stands for, or leaves it."""
    return f"\x1b[{_STYLES[status]}m{text}\x1b[0m" if colour else text


def colours(stream: TextIO) -> bool:
    """no-color.org: present and not empty."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def group_lines(group: Sequence[Judged], *, verbose: int, colour: bool) -> Iterator[str]:
    """What is said of one case or capture, under one rule or several. verbose: -1 for -q, 0, 1 for -v."""
    detailed = verbose > 0 or len(group) > 1 or group[0].status in ("shown", "broken")
    for judged in group:
        bad = judged.status in ("failed", "broken")
        if judged.status != "shown" and (verbose >= 0 or bad or judged.status == "updated"):
            label = judged.name if len(group) == 1 else f"{judged.name} ({judged.rule})"
            yield f"{styled(f'{judged.status:<8}', judged.status, colour=colour)}{label}"
            if judged.why and verbose > 0:
                yield f"        {judged.why}"
        if judged.problem:
            for line in judged.problem.splitlines():
                yield f"{judged.name}: {line}"
        for line in judged.differences[: None if verbose > 0 else _DIFFERENCES]:
            yield f"{judged.name}: {line}"
        if (more := len(judged.differences) - _DIFFERENCES) > 0 and verbose <= 0:
            yield f"{judged.name}: … and {more} more (-v shows all)"
    results = [judged for judged in group if judged.result is not None]
    if detailed and results and verbose >= 0:
        yield from _details(results, verbose=verbose)


def count_line(judged: Sequence[Judged], deselected: int, *, colour: bool) -> str:
    """43 cases: 42 passed, 1 failed."""
    counts: Counter[str] = Counter(one.status for one in judged)
    cases, total = len({one.name for one in judged}), len(judged)
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
    """The judgement on order, in a sentence."""
    flows = result["flows"]
    early, late = _sum(flows, "early"), _sum(flows, "late")
    segments = _sum(flows, "segments")
    amount = f"{segments} segment{'s' if segments != 1 else ''}"
    lost = _sum(flows, "lost")
    # Behind a lost segment all are early, as a receiver counts; that alone is no reordering.
    bad = sum(1 for flow in flows if flow["late"] or (flow["early"] and not flow["lost"]))
    if not bad and early:
        return f"in order, with {lost} lost: {early} early behind the gaps, 0 late of {amount}"
    if bad:
        return (
            f"out of order: {bad} of {len(flows)} flows, {early} early and {late} late of {amount}"
        )
    return f"in order: {len(flows)} flow{'s' if len(flows) != 1 else ''}, {amount}, 0 early, 0 late"


def _details(group: Sequence[Judged], *, verbose: int) -> Iterator[str]:
    first = group[0].result or {}
    skipped = f", {first['skipped']} not IP" if first["skipped"] else ""
    unplaced = f", {first['unplaced']} of no end" if first["unplaced"] else ""
    yield (
        f"{group[0].name}: {first['packets']} packets, {amount_of(first['bytes'])}, "
        f"{first['duration_ns'] / 1e9:.6f} s{skipped}{unplaced}"
    )
    if len(group) > 1:
        yield from _rules(group)
    for judged in group:
        result = judged.result or {}
        yield f"  {judged.rule}: {verdict(result)}"
        yield from _flows(result, verbose=verbose)
        yield from _connections(result, verbose=verbose)
        yield from _drops(result)
        yield from _stages(result)
        if result["truncated"]:
            yield "    (reports hold the first part only: the case's keep was reached)"


def _rules(group: Sequence[Judged]) -> Iterator[str]:
    yield "  rule        batches  saved  segments   early    late  spurious    lost"
    for judged in group:
        result = judged.result or {}
        flows = result["flows"]
        cells = [_sum(flows, key) for key in ("segments", "early", "late", "spurious", "lost")]
        yield (
            f"  {judged.rule:<10}{result['batch_count']:>9}{result['sends_saved']:>7}"
            f"{cells[0]:>10}{cells[1]:>8}{cells[2]:>8}{cells[3]:>10}{cells[4]:>8}"
        )


def _flows(result: dict[str, Any], *, verbose: int) -> Iterator[str]:
    flows = list(result["flows"])
    hidden = 0
    if len(flows) > _ROWS and verbose <= 0:
        troubles = ("early", "late", "lost", "duplicates")
        flows.sort(key=lambda f: (-sum(f[key] for key in troubles), -f["segments"], f["id"]))
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
    found: list[str] = []
    for name, end in result["ends"].items():
        for counter, count in flat(end["counters"]).items():
            if "drops." in counter:
                found.append(
                    f"{name} {counter.replace('.drops.', ' ').replace('_drops.', ' ')} {count}"
                )
    for name, count in sorted(result["fate_counts"].items()):
        end, _, what = name.rpartition(".")
        found.append(f"wire from {end} {what} {count}")
    if not found:
        yield "    drops: none in the tunnel"
    for i, text in enumerate(found):
        yield f"    {'drops: ' if not i else '       '}{text}"


def _stages(result: dict[str, Any]) -> Iterator[str]:
    for end, counts in result["ends"].items():
        for name, stage in counts.get("stages", {}).items():
            amount = f"{stage['frames']} frames, {stage['segments']} segments"
            yield f"    stage {name} at {end}: {amount}"
            for counter, count in flat(stage).items():
                if counter not in ("frames", "segments"):
                    words = counter.replace("drops.", "dropped ").removeprefix("own.")
                    yield f"           {words} {count}"


def _row(text: str, numbers: str) -> Iterator[str]:
    if len(text) > _TEXT_WIDTH:
        yield f"    {text}"
        text = ""
    yield f"    {text:<{_TEXT_WIDTH}}{numbers}"


def _sum(flows: Iterable[dict[str, Any]], key: str) -> int:
    return sum(flow[key] for flow in flows)


def amount_of(count: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


class ProgressLine:
    """A line in place on a terminal: how far, how fast, how long still. For long captures only."""

    def __init__(self, stream: TextIO, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock_s = clock_s
        self._start_s = clock_s()
        self._written = False

    def __call__(self, bytes_read: int, bytes_in_all: int | None, packets: int) -> bool:
        """Shows how far it is; never interrupts."""
        took_s = self._clock_s() - self._start_s
        if took_s >= 0.5:
            text = f"{amount_of(bytes_read)}, {packets} packets, {packets / took_s:,.0f}/s"
            if bytes_in_all and bytes_read:
                left_s = took_s * max(bytes_in_all - bytes_read, 0) / bytes_read
                text = f"{bytes_read / bytes_in_all:4.0%} {text}, {left_s:.0f} s left"
            self._stream.write(f"\r\x1b[2K{text}")
            self._stream.flush()
            self._written = True
        return True

    def clear(self) -> None:
        """Removes the line, for what stands instead, and starts the clock anew."""
        if self._written:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()
            self._written = False
        self._start_s = self._clock_s()
