"""Invalid verdicts: wrong values, types, indices and amounts fail only the call."""

from collections.abc import Callable
from typing import Any

import pytest

import pyfw
from tests.faults.conservation import ConservationTest, make_packet, make_packets, numbers

Body = Callable[[Any], Any]


class Runs(pyfw.Stage):
    """Runs a function with each inbound batch."""

    direction = "inbound"

    def __init__(self, body: Body) -> None:
        super().__init__()
        self.body = body

    def process(self, batch: pyfw.FrameBatch) -> None:
        return self.body(batch)  # type: ignore[no-any-return] # an invalid return value is what some tests need


async def coroutine(batch: pyfw.FrameBatch) -> None:
    raise AssertionError("must never run")


INVALID: dict[str, tuple[str, Body]] = {
    "a list returned": ("TypeError", lambda batch: [batch]),
    "the batch returned": ("TypeError", lambda batch: batch),
    "False returned": ("TypeError", lambda batch: False),
    "a generator": ("TypeError", lambda batch: (i for i in range(3))),
    "drop -1": ("IndexError", lambda batch: batch.drop(-1)),
    "drop len": ("IndexError", lambda batch: batch.drop(len(batch))),
    "drop beyond all integers": ("OverflowError", lambda batch: batch.drop(1 << 70)),
    "drop by text": ("TypeError", lambda batch: batch.drop("0")),
    "drop by float": ("TypeError", lambda batch: batch.drop(0.0)),
    "drop without a reason": ("TypeError", lambda batch: batch.drop(0, None)),
    "drop for an invalid name": ("ValueError", lambda batch: batch.drop(0, "a reason")),
    "drop for an empty name": ("ValueError", lambda batch: batch.drop(0, "")),
    "drop for 65 reasons": (
        "ValueError",
        lambda batch: [batch.drop(0, f"reason{n}") for n in range(65)],
    ),
    "frame -1": ("IndexError", lambda batch: batch[-1]),
    "frame len": ("IndexError", lambda batch: batch[len(batch)]),
    "data -1": ("IndexError", lambda batch: batch.data(-1)),
    "hold -1": ("IndexError", lambda batch: batch.hold(-1)),
    "split -1": ("IndexError", lambda batch: batch.split(-1)),
    "mark -1": ("IndexError", lambda batch: batch.mark(-1, 1)),
    "mark with a negative": ("OverflowError", lambda batch: batch.mark(0, -1)),
    "mark with 33 bits": ("OverflowError", lambda batch: batch.mark(0, 1 << 32)),
    "ecn -1": ("IndexError", lambda batch: batch.set_ecn(-1, 1)),
    "ecn 4": ("ValueError", lambda batch: batch.set_ecn(0, 4)),
    "insert -1": ("IndexError", lambda batch: batch.insert(-1, make_packet(9))),
    "insert behind the end": ("IndexError", lambda batch: batch.insert(4, make_packet(9))),
    "replace -1": ("IndexError", lambda batch: batch.replace(-1, make_packet(9))),
    "answer -1": ("IndexError", lambda batch: batch.answer(-1, make_packet(9))),
    "replace by text": ("TypeError", lambda batch: batch.replace(0, "packet")),
    "replace by nothing": ("TypeError", lambda batch: batch.replace(0, None)),
    "replace by integers": ("TypeError", lambda batch: batch.replace(0, [69, 0])),
    "replace by an invalid packet": ("ValueError", lambda batch: batch.replace(0, bytes(40))),
    "replace by no bytes": ("ValueError", lambda batch: batch.replace(0, b"")),
    "insert an invalid packet": ("ValueError", lambda batch: batch.insert(0, b"\x45" * 19)),
    "answer with an invalid packet": ("ValueError", lambda batch: batch.answer(0, b"\x60" * 39)),
    "a frame beyond 64 KiB": (
        "ValueError",
        lambda batch: batch.replace(0, make_packet(0, length=65_535) + b"x"),
    ),
    "an insertion beyond 64 KiB": (
        "ValueError",
        lambda batch: batch.insert(0, bytes(batch.data(0)) + bytes(65_536)),
    ),
    "a frame dropped, then replaced": (
        "ValueError",
        lambda batch: (batch.drop(0), batch.replace(0, make_packet(9))),
    ),
    "an unknown filter key": ("TypeError", lambda batch: batch.where(colour="red")),
    "an invalid filter value": ("ValueError", lambda batch: batch.where(dst_port=65_536)),
    "an unknown attribute": ("AttributeError", lambda batch: batch.headers),
    "a column written": ("TypeError", lambda batch: batch.length.__setitem__(0, 1)),
    "bytes written": ("TypeError", lambda batch: batch.data(0).__setitem__(0, 1)),
}


@pytest.mark.parametrize(("kind", "body"), INVALID.values(), ids=INVALID)
def test_an_invalid_verdict_raises_and_fails_the_call(kind: str, body: Body) -> None:
    with ConservationTest(Runs(body)) as test:
        assert test.inbound(*make_packets(3)) == []
        (notice,) = test.notices()
        assert f"\n{kind}: " in f"\n{notice['reason']}", notice["reason"]
        assert (test.drops, test.counts["failures"]) == ({"raised": 3}, 1)


def test_a_coroutine_cannot_be_process() -> None:
    with ConservationTest(Runs(coroutine)) as test:
        with pytest.warns(RuntimeWarning, match="never awaited"):
            assert test.inbound(make_packet(0)) == []
        assert test.drops == {"raised": 1}


def test_a_repeated_drop_counts_once() -> None:
    def drops(batch: pyfw.FrameBatch) -> None:
        for _ in range(1_000_000):
            batch.drop(1, "unwanted")

    with ConservationTest(Runs(drops)) as test:
        assert numbers(test.inbound(*make_packets(3))) == [0, 2]
        assert test.drops == {"unwanted": 1}


@pytest.mark.long
def test_a_million_frames_are_dropped_and_counted() -> None:
    def drops(batch: pyfw.FrameBatch) -> None:
        for i in range(len(batch)):
            batch.drop(i, "unwanted")

    packet = make_packet(0)
    with ConservationTest(Runs(drops)) as test:
        for _ in range(100):
            assert test.inbound(*[packet] * 10_000) == []
        assert test.drops == {"unwanted": 1_000_000}


def test_a_frame_grows_up_to_65535_bytes() -> None:
    def grows(batch: pyfw.FrameBatch) -> None:
        batch.replace(0, make_packet(0, length=65_535))

    with ConservationTest(Runs(grows)) as test:
        (packet,) = test.inbound(make_packet(0))
        assert (len(packet), packet[2:4]) == (65_535, b"\xff\xff")


def test_frames_without_room_in_the_buffer_are_dropped() -> None:
    def grows(batch: pyfw.FrameBatch) -> None:
        for i in range(len(batch)):
            batch.replace(i, make_packet(i, length=65_000))

    with ConservationTest(Runs(grows)) as test:
        left = numbers(test.inbound(*make_packets(20)))
        assert left == list(range(len(left)))
        assert test.drops == {"no_room": 20 - len(left)}
        assert 10 < len(left) < 20
        assert numbers(test.inbound(make_packet(7))) == [0]


def test_insertions_without_room_are_counted_and_dropped() -> None:
    def inserts(batch: pyfw.FrameBatch) -> None:
        for _ in range(1000):
            batch.insert(0, make_packet(9, length=65_000))

    with ConservationTest(Runs(inserts)) as test:
        left = numbers(test.inbound(make_packet(0)))
        assert left == [9] * (len(left) - 1) + [0]
        assert test.counts["created"] == 1000
        assert test.drops == {"no_room": 1000 - (len(left) - 1)}


def test_answers_leave_on_the_other_path_or_are_dropped() -> None:
    def answers(batch: pyfw.FrameBatch) -> None:
        for i in range(len(batch)):
            batch.answer(i, make_packet(i, length=65_000))

    with ConservationTest(Runs(answers)) as test:
        assert test.inbound(*make_packets(40)) == []
        left = numbers(test.outbound())
        assert left == list(range(len(left)))
        assert test.counts["created"] == 40
        assert test.drops == {"answered": 40, "no_room": 40 - len(left)}


def test_writing_to_a_passed_buffer_changes_no_packet() -> None:
    buffers = [bytearray(make_packet(n)) for n in (10, 11, 12)]

    def passes(batch: pyfw.FrameBatch) -> None:
        batch.replace(0, buffers[0])
        batch.insert(1, memoryview(buffers[1]))
        batch.answer(2, buffers[2])
        for buffer in buffers:
            buffer[:] = bytes(len(buffer))

    with ConservationTest(Runs(passes)) as test:
        assert numbers(test.inbound(*make_packets(3))) == [10, 11, 1]
        for buffer in buffers:
            buffer[:] = b"\xff" * len(buffer)
        assert numbers(test.outbound()) == [12]
