"""Frames that a stage holds: bounded, in order, sent on once, never lost without a count."""

import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

import pyfw
from pyfw import HeldFrame
from tests.faults.conservation import Judged, batch_of, numbered, numbers


class Holds(pyfw.Stage):
    """Holds every frame of inbound."""

    direction = "inbound"

    def __init__(self) -> None:
        super().__init__()
        self.held: list[HeldFrame | None] = []

    def process(self, batch: pyfw.FrameBatch) -> None:
        for i in range(len(batch)):
            self.held.append(batch.hold(i))

    def first(self) -> HeldFrame:
        frame = self.held.pop(0)
        assert frame is not None
        return frame


def raised(body: Callable[[], Any]) -> str:
    """Why it could not be."""
    with pytest.raises(ValueError, match=r".") as error:
        body()
    return str(error.value)


# Bounds


def test_beyond_its_frames_a_stage_drops_what_it_would_hold() -> None:
    stage = Holds()
    stage.hold_frames = 10
    with Judged(stage) as test:
        for call in range(100):
            assert test.inbound(numbered(call)) == []
        assert test.counts["held_frames"] == 10
        assert test.drops == {"hold_overflow": 90}
        assert sum(frame is None for frame in stage.held) == 90
        # One that goes makes room for one.
        stage.emit(stage.first())
        assert numbers(test.inbound(numbered(100), numbered(101))) == [0]
        assert (test.counts["held_frames"], test.drops) == (10, {"hold_overflow": 91})


def test_beyond_its_bytes_likewise() -> None:
    stage = Holds()
    stage.hold_bytes = 10_000
    with Judged(stage) as test:
        test.inbound(*batch_of(20, length=1000))
        assert (test.counts["held_frames"], test.counts["held_bytes"]) == (10, 10_000)
        assert test.drops == {"hold_overflow": 10}
        stage.held.clear()
        gc.collect()
        assert test.inbound() == []
        assert test.counts["held_bytes"] == 0
        assert test.drops == {"hold_overflow": 10, "forgotten": 10}


def test_segments_of_a_frame_are_held_and_counted_each() -> None:
    class HoldsSegments(Holds):
        def process(self, batch: pyfw.FrameBatch) -> None:
            self.held += [batch.hold(row) for row in batch.split(0)[1:]]

    stage = HoldsSegments()
    stage.hold_frames = 2
    with Judged(stage) as test:
        assert len(test.inbound(numbered(0, length=228), segment_size=50)) == 1
        assert (test.counts["held_segments"], test.drops) == (2, {"hold_overflow": 1})
        stage.emit(stage.first())
        stage.emit(stage.first())
        assert [len(packet) for packet in test.inbound()] == [78, 78]


# Forgotten, twice, late


def test_a_frame_that_is_forgotten_is_dropped_at_once() -> None:
    stage = Holds()
    with Judged(stage) as test:
        test.inbound(*batch_of(3))
        stage.held.pop(1)
        gc.collect()
        assert test.counts["held_frames"] == 2
        assert test.drops == {"forgotten": 1}


def test_a_frame_is_emitted_once() -> None:
    stage = Holds()
    with Judged(stage) as test:
        test.inbound(numbered(0))
        frame = stage.first()
        stage.emit(frame)
        for direction in (None, "inbound", "outbound"):
            assert "emitted before" in raised(lambda: stage.emit(frame, direction))  # noqa: B023
        assert numbers(test.inbound()) == [0]
        assert "emitted before" in raised(lambda: stage.emit(frame))
        assert test.inbound() == test.outbound() == []


def test_nothing_of_a_frame_but_what_it_was_can_be_read_once_it_is_emitted() -> None:
    stage = Holds()
    with Judged(stage) as test:
        test.inbound(numbered(0))
        frame = stage.first()
        data = frame.data
        stage.emit(frame)
        assert "was emitted" in raised(lambda: frame.data)
        assert "was emitted" in raised(frame.to_scapy)
        assert (frame.length, frame.segments, frame.direction) == (40, 1, "inbound")
        test.inbound()
        assert bytes(data) == numbered(0)


class PassesEveryOther(Holds):
    """Holds the first frame of a batch and lets the rest pass."""

    def process(self, batch: pyfw.FrameBatch) -> None:
        self.held.append(batch.hold(0))


def test_a_frame_that_a_later_one_of_its_flow_has_passed_is_not_emitted() -> None:
    stage = PassesEveryOther()
    with Judged(stage) as test:
        assert numbers(test.inbound(numbered(0), numbered(1))) == [1]
        frames = [stage.first()]
        assert "passed" in raised(lambda: stage.emit(frames[0]))
        assert bytes(frames[0].data) == numbered(0)
        assert test.counts["held_frames"] == 1
        frames.clear()
        gc.collect()  # what was raised knew of it
        assert test.drops == {"forgotten": 1}


def test_it_may_go_where_no_other_of_its_flow_has_gone() -> None:
    stage = PassesEveryOther()
    with Judged(stage) as test:
        # Another flow passed it.
        assert numbers(test.inbound(numbered(0), numbered(1, port=8))) == [1]
        stage.emit(stage.first())
        assert numbers(test.inbound(numbered(2, port=9), numbered(3, port=9))) == [0, 3]
        # Its own did, but the other way is free.
        stage.emit(stage.first(), "outbound")
        assert numbers(test.outbound()) == [2]
        assert test.drops == {"turned": 1}


def test_a_stage_that_reorders_may_emit_what_was_passed() -> None:
    stage = PassesEveryOther()
    stage.reorders = True
    with Judged(stage) as test:
        assert numbers(test.inbound(numbered(0), numbered(1))) == [1]
        stage.emit(stage.first())
        assert numbers(test.inbound()) == [0]


def test_frames_of_a_flow_leave_in_their_order_whoever_emits_them() -> None:
    stage = Holds()
    with Judged(stage) as test:
        test.inbound(*batch_of(4))
        frames = [stage.first() for _ in range(4)]
        stage.emit(frames[1])
        assert "passed" in raised(lambda: stage.emit(frames[0]))
        stage.emit(frames[3])
        assert "passed" in raised(lambda: stage.emit(frames[2]))
        assert numbers(test.inbound()) == [1, 3]


def test_no_packet_is_emitted_that_is_none() -> None:
    stage = Holds()
    with Judged(stage) as test:
        test.inbound(numbered(0))
        for packet in (b"", bytes(40), b"\x45" * 19, numbered(0, length=65_535) + b"x"):
            assert raised(lambda: stage.emit(packet, "outbound"))  # noqa: B023
        assert "direction" in raised(lambda: stage.emit(numbered(9)))
        assert "direction" in raised(lambda: stage.emit(numbered(9), "sideways"))  # type: ignore[arg-type]
        for wrong in (None, "text", 7, [stage.held[0]]):
            with pytest.raises(TypeError):
                stage.emit(wrong, "inbound")  # type: ignore[arg-type]
        assert test.inbound() == test.outbound() == []


def test_whoever_emits_a_frame_it_goes_on_behind_the_stage_that_held_it() -> None:
    holds, other = Holds(), Holds()
    other.name = "other"
    with Judged(holds, other) as test:
        test.inbound(*batch_of(2))
        frame = holds.first()
        other.emit(frame)
        holds.emit(holds.first())
        assert test.inbound() == []
        assert [numbers([bytes(f.data)]) for f in other.held if f is not None] == [[0], [1]]


# From other threads


class Pump(pyfw.Stage):
    """Holds everything, and a thread of its own sends it on."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[HeldFrame] = []
        self.lock = threading.Condition()
        self.over = False
        self.errors: list[BaseException] = []

    def start(self) -> None:
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def stop(self) -> None:
        with self.lock:
            self.over = True
            self.lock.notify()
        self.thread.join()

    def process(self, batch: pyfw.FrameBatch) -> None:
        for i in range(len(batch)):
            frame = batch.hold(i)
            assert frame is not None
            with self.lock:
                self.waiting.append(frame)
                self.lock.notify()

    def _run(self) -> None:
        while True:
            with self.lock:
                self.lock.wait_for(lambda: self.waiting or self.over)
                if self.over:
                    return
                frame = self.waiting.pop(0)
            try:
                self.emit(frame)
            except BaseException as error:
                self.errors.append(error)


def test_another_thread_may_emit_all_the_time_and_keeps_the_order() -> None:
    stage = Pump()
    with Judged(stage) as test:
        left: list[int] = []
        back: list[int] = []
        for number in range(1000):
            left += numbers(test.inbound(numbered(2 * number), numbered(2 * number + 1)))
            back += numbers(test.outbound(numbered(number)))
        while len(left) < 2000 or len(back) < 1000:
            left += numbers(test.inbound())
            back += numbers(test.outbound())
        assert (left, back) == (list(range(2000)), list(range(1000)))
        assert (stage.errors, test.drops, test.counts["held_frames"]) == ([], {}, 0)


# Its end


def test_what_is_held_when_a_stage_is_exchanged_away_is_dropped_and_cannot_be_emitted() -> None:
    stage = Holds()
    with Judged(stage) as test:
        test.inbound(*batch_of(3))
        slot = test._set._seats[0].slot
        test._set.change([])
        assert numbers(test.inbound(numbered(3))) == [3]
        counts = slot.counters()
        assert (counts.drops, counts.held_frames) == ({"stopped": 3}, 0)
        with pytest.raises(RuntimeError, match="does not run"):
            stage.emit(stage.first())
        test.fed, test.left = 0, 0  # its counters went with it


class HoldsInTheMeantime(Holds):
    """Is taken out while it is called, and goes on holding."""

    taken_out: Callable[[], None]

    def process(self, batch: pyfw.FrameBatch) -> None:
        self.held.append(batch.hold(0))
        in_between = threading.Thread(target=self.taken_out)
        in_between.start()
        in_between.join()
        self.held.append(batch.hold(1))
        self.emit(numbered(9), "inbound")


def test_a_stage_that_is_taken_out_during_a_call_holds_nothing_from_there_on() -> None:
    stage = HoldsInTheMeantime()
    with Judged(stage) as test:
        slot = test._set._seats[0].slot
        stage.taken_out = lambda: test.chain.set([])
        left = [numbers(test.inbound(*packets)) for packets in (batch_of(3), [numbered(3)])]
        assert left == [[9, 2], [3]]
        counts = slot.counters()
        assert (counts.held_frames, counts.created) == (0, 1)
        assert counts.drops == {"stopped": 2}
        test.fed, test.left = 0, 0  # its counters went with it
