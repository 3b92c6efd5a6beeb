"""What a stage can get wrong in a call: values, types, indices, amounts. It costs what it is shown."""

from collections.abc import Callable
from typing import Any

import pytest

import pyfw
from tests.faults.conservation import Judged, batch_of, numbered, numbers

Body = Callable[[Any], Any]


class Says(pyfw.Stage):
    """Does what it is told, on inbound."""

    direction = "inbound"

    def __init__(self, body: Body) -> None:
        super().__init__()
        self.body = body

    def process(self, batch: pyfw.FrameBatch) -> None:
        return self.body(batch)  # type: ignore[no-any-return] # that is what is tried


async def coroutine(batch: pyfw.FrameBatch) -> None:
    raise AssertionError("nobody awaits it")


WRONG: dict[str, tuple[str, Body]] = {
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
    "drop for no name": ("ValueError", lambda batch: batch.drop(0, "a reason")),
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
    "insert -1": ("IndexError", lambda batch: batch.insert(-1, numbered(9))),
    "insert behind the end": ("IndexError", lambda batch: batch.insert(4, numbered(9))),
    "replace -1": ("IndexError", lambda batch: batch.replace(-1, numbered(9))),
    "answer -1": ("IndexError", lambda batch: batch.answer(-1, numbered(9))),
    "replace by text": ("TypeError", lambda batch: batch.replace(0, "packet")),
    "replace by nothing": ("TypeError", lambda batch: batch.replace(0, None)),
    "replace by integers": ("TypeError", lambda batch: batch.replace(0, [69, 0])),
    "replace by no packet": ("ValueError", lambda batch: batch.replace(0, bytes(40))),
    "replace by no byte": ("ValueError", lambda batch: batch.replace(0, b"")),
    "insert no packet": ("ValueError", lambda batch: batch.insert(0, b"\x45" * 19)),
    "answer with no packet": ("ValueError", lambda batch: batch.answer(0, b"\x60" * 39)),
    "a frame beyond 64 KiB": (
        "ValueError",
        lambda batch: batch.replace(0, numbered(0, length=65_535) + b"x"),
    ),
    "an insertion beyond 64 KiB": (
        "ValueError",
        lambda batch: batch.insert(0, bytes(batch.data(0)) + bytes(65_536)),
    ),
    "a frame dropped, then replaced": (
        "ValueError",
        lambda batch: (batch.drop(0), batch.replace(0, numbered(9))),
    ),
    "an unknown word": ("TypeError", lambda batch: batch.where(colour="red")),
    "a word that cannot be": ("ValueError", lambda batch: batch.where(dst_port=65_536)),
    "no attribute": ("AttributeError", lambda batch: batch.headers),
    "a column written": ("TypeError", lambda batch: batch.length.__setitem__(0, 1)),
    "bytes written": ("TypeError", lambda batch: batch.data(0).__setitem__(0, 1)),
}


@pytest.mark.parametrize(("kind", "body"), WRONG.values(), ids=WRONG)
def test_is_told_by_its_kind_and_costs_the_frames_of_its_batch(kind: str, body: Body) -> None:
    with Judged(Says(body)) as test:
        assert test.inbound(*batch_of(3)) == []
        (notice,) = test.notices()
        assert f"\n{kind}: " in f"\n{notice['reason']}", notice["reason"]
        assert (test.drops, test.counts["failures"]) == ({"raised": 3}, 1)


def test_a_coroutine_is_no_process() -> None:
    with Judged(Says(coroutine)) as test:
        with pytest.warns(RuntimeWarning, match="never awaited"):
            assert test.inbound(numbered(0)) == []
        assert test.drops == {"raised": 1}


def test_a_verdict_may_be_said_a_million_times_and_counts_once() -> None:
    def drops(batch: pyfw.FrameBatch) -> None:
        for _ in range(1_000_000):
            batch.drop(1, "unwanted")

    with Judged(Says(drops)) as test:
        assert numbers(test.inbound(*batch_of(3))) == [0, 2]
        assert test.drops == {"unwanted": 1}


def test_a_million_frames_are_dropped_and_counted() -> None:
    def drops(batch: pyfw.FrameBatch) -> None:
        for i in range(len(batch)):
            batch.drop(i, "unwanted")

    packet = numbered(0)
    with Judged(Says(drops)) as test:
        for _ in range(100):
            assert test.inbound(*[packet] * 10_000) == []
        assert test.drops == {"unwanted": 1_000_000}


def test_a_frame_grows_up_to_what_an_ip_packet_can_be() -> None:
    def grows(batch: pyfw.FrameBatch) -> None:
        batch.replace(0, numbered(0, length=65_535))

    with Judged(Says(grows)) as test:
        (packet,) = test.inbound(numbered(0))
        assert (len(packet), packet[2:4]) == (65_535, b"\xff\xff")


def test_what_finds_no_room_in_a_batch_is_dropped_by_that_name_and_the_rest_goes_on() -> None:
    def grows(batch: pyfw.FrameBatch) -> None:
        for i in range(len(batch)):
            batch.replace(i, numbered(i, length=65_000))

    with Judged(Says(grows)) as test:
        left = numbers(test.inbound(*batch_of(20)))
        assert left == list(range(len(left)))
        assert test.drops == {"no_room": 20 - len(left)}
        assert 10 < len(left) < 20
        assert numbers(test.inbound(numbered(7))) == [0]


def test_what_is_made_beyond_all_room_is_made_and_dropped() -> None:
    def makes(batch: pyfw.FrameBatch) -> None:
        for _ in range(1000):
            batch.insert(0, numbered(9, length=65_000))

    with Judged(Says(makes)) as test:
        left = numbers(test.inbound(numbered(0)))
        assert left == [9] * (len(left) - 1) + [0]
        assert test.counts["created"] == 1000
        assert test.drops == {"no_room": 1000 - (len(left) - 1)}


def test_answers_without_end_leave_on_the_other_path_or_are_dropped_there() -> None:
    def answers(batch: pyfw.FrameBatch) -> None:
        for i in range(len(batch)):
            batch.answer(i, numbered(i, length=65_000))

    with Judged(Says(answers)) as test:
        assert test.inbound(*batch_of(40)) == []
        left = numbers(test.outbound())
        assert left == list(range(len(left)))
        assert test.counts["created"] == 40
        assert test.drops == {"answered": 40, "no_room": 40 - len(left)}


def test_a_buffer_given_and_written_after_the_call_changes_nothing_that_was_given() -> None:
    given = [bytearray(numbered(n)) for n in (10, 11, 12)]

    def gives(batch: pyfw.FrameBatch) -> None:
        batch.replace(0, given[0])
        batch.insert(1, memoryview(given[1]))
        batch.answer(2, given[2])
        for buffer in given:
            buffer[:] = bytes(len(buffer))

    with Judged(Says(gives)) as test:
        assert numbers(test.inbound(*batch_of(3))) == [10, 11, 1]
        for buffer in given:
            buffer[:] = b"\xff" * len(buffer)
        assert numbers(test.outbound()) == [12]
