"""Measures the operations of a FrameBatch in one process, without a tunnel.

The result of an operation is the nanoseconds for a batch of one frame, and for each further frame, without
the cost of an empty `process`, which is the first row. All are medians.
"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

import pyfw

_MANY = 64
# A TCP segment with 1,400 B of payload; its content does not matter.
_PACKET = bytes.fromhex(
    "450005a0000040004006000a0a0000010a000002c35001bb00000001000000015010ffff00000000"
) + bytes(1400)
_MARKS = ("<!-- costs -->", "<!-- /costs -->")


@dataclass(frozen=True)
class Cost:
    """The cost of one operation."""

    what: str
    batch_ns: float
    frame_ns: float


def _columns(batch: pyfw.FrameBatch) -> None:
    for _ in zip(
        batch.protocol, batch.src_port, batch.dst_port, batch.length, batch.tcp_flags, strict=True
    ):
        pass


def _each(call: Callable[[pyfw.FrameBatch, int], object]) -> Callable[[pyfw.FrameBatch], None]:
    def process(batch: pyfw.FrameBatch) -> None:
        for i in range(len(batch)):
            call(batch, i)

    return process


OPERATIONS: dict[str, Callable[[pyfw.FrameBatch], object]] = {
    "an empty process()": lambda batch: None,
    "one column": lambda batch: batch.length,
    "one column, summed by numpy": lambda batch: int(np.asarray(batch.length).sum()),
    "five columns, read in a loop": _columns,
    "where(protocol=, dst_port=)": lambda batch: batch.where(protocol="tcp", dst_port=443),
    "batch[i].source": _each(lambda batch, i: batch[i].source),
    "data(i)": _each(lambda batch, i: batch.data(i)),
    "bytes(data(i))": _each(lambda batch, i: bytes(batch.data(i))),
    "drop(i, reason)": _each(lambda batch, i: batch.drop(i, "measured")),
    "mark(i, 1)": _each(lambda batch, i: batch.mark(i, 1)),
    "set_ecn(i, 3)": _each(lambda batch, i: batch.set_ecn(i, 3)),
    "replace(i, packet of 1,440 B)": _each(lambda batch, i: batch.replace(i, _PACKET)),
    "hold(i), forgotten": _each(lambda batch, i: batch.hold(i)),
}


class _Measured(pyfw.Stage):
    def __init__(self, operation: Callable[[pyfw.FrameBatch], object]) -> None:
        super().__init__()
        self._operation = operation
        self.times_ns: list[int] = []

    def process(self, batch: pyfw.FrameBatch) -> None:
        begun = time.perf_counter_ns()
        self._operation(batch)
        self.times_ns.append(time.perf_counter_ns() - begun)


def costs(*, quick: bool) -> list[Cost]:
    """Measures all of them."""
    repeats = 200 if quick else 2000
    found: list[Cost] = []
    empty = [0.0, 0.0]
    for what, operation in OPERATIONS.items():
        one, many = (_time(operation, count, repeats) for count in (1, _MANY))
        if not found:
            found.append(Cost("a call of process()", *_call_cost(repeats)))
            empty = [one, many]
            continue
        one, many = max(one - empty[0], 0), max(many - empty[1], 0)
        found.append(Cost(what, one, max(many - one, 0) / (_MANY - 1)))
    return found


def _time(operation: Callable[[pyfw.FrameBatch], object], count: int, repeats: int) -> float:
    stage = _Measured(operation)
    with pyfw.StageTest(stage) as test:
        for _ in range(repeats):
            test.inbound(*[_PACKET] * count)
    assert not test.notices(), test.notices()
    return median(stage.times_ns)


def _call_cost(repeats: int) -> tuple[float, float]:
    """Returns the cost of entering and leaving a stage, by the chain's own clock."""
    per_call = []
    for count in (1, _MANY):
        with pyfw.StageTest(_Measured(lambda batch: None)) as test:
            for _ in range(repeats):
                test.inbound(*[_PACKET] * count)
            (counts,) = test.counters["stages"].values()
        per_call.append(counts["time_ns"] / counts["calls"])
    return per_call[0], max(per_call[1] - per_call[0], 0) / (_MANY - 1)


def markdown(file: Path, operations: Sequence[Cost]) -> None:
    """Writes the table between its marks. Raises ValueError if the file has none."""
    rows = ["| operation | batch of one frame | each further frame |", "|---|---|---|"]
    rows += [f"| `{c.what}` | {c.batch_ns:,.0f} ns | {c.frame_ns:,.0f} ns |" for c in operations]
    text = file.read_text()
    start, end = _MARKS
    if start not in text or end not in text:
        raise ValueError(f"{file} needs the marks {start} and {end}")
    body = "\n".join([start, "", *rows, "", end])
    file.write_text(re.sub(f"{start}.*?{end}", lambda _: body, text, flags=re.DOTALL))
