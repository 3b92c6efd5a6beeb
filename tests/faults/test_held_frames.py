"""Frames that a stage holds: bounded, emitted once and in order, never lost without a count."""

import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

import pyfw
from pyfw import HeldFrame
from tests.faults.conservation import ConservationTest, make_packet, make_packets, numbers


class Holds(pyfw.Stage):
    """Holds every inbound frame."""

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


def error_of(body: Callable[[], Any]) -> str:
    """The message of the ValueError that a call raises."""
    with pytest.raises(ValueError, match=r".") as error:
        body()
    return str(error.value)


# Bounds


def test_frames_beyond_hold_frames_are_dropped() -> None:
    stage = Holds()
    stage.hold_frames = 10
    with ConservationTest(stage) as test:
        for call in range(100):
            assert test.inbound(make_packet(call)) == []
        assert test.counts["held_frames"] == 10
        assert test.drops == {"hold_overflow": 90}
        assert sum(frame is None for frame in stage.held) == 90
        # Each frame that is emitted makes room for one.
        stage.emit(stage.first())
        assert numbers(test.inbound(make_packet(100), make_packet(101))) == [0]
        assert (test.counts["held_frames"], test.drops) == (10, {"hold_overflow": 91})


def test_frames_beyond_hold_bytes_are_dropped() -> None:
    stage = Holds()
    stage.hold_bytes = 10_000
    with ConservationTest(stage) as test:
        test.inbound(*make_packets(20, length=1000))
        assert (test.counts["held_frames"], test.counts["held_bytes"]) == (10, 10_000)
        assert test.drops == {"hold_overflow": 10}
        stage.held.clear()
        gc.collect()
        assert test.inbound() == []
        assert test.counts["held_bytes"] == 0
        assert test.drops == {"hold_overflow": 10, "forgotten": 10}


def test_segments_of_a_frame_are_held_individually() -> None:
    class HoldsSegments(Holds):
        def process(self, batch: pyfw.FrameBatch) -> None:
            self.held += [batch.hold(row) for row in batch.split(0)[1:]]

    stage = HoldsSegments()
    stage.hold_frames = 2
    with ConservationTest(stage) as test:
        assert len(test.inbound(make_packet(0, length=228), segment_size=50)) == 1
        assert (test.counts["held_segments"], test.drops) == (2, {"hold_overflow": 1})
        stage.emit(stage.first())
        stage.emit(stage.first())
        assert [len(packet) for packet in test.inbound()] == [78, 78]


# Forgotten, emitted twice, overtaken


def test_a_forgotten_frame_is_dropped_at_once() -> None:
    stage = Holds()
    with ConservationTest(stage) as test:
        test.inbound(*make_packets(3))
        stage.held.pop(1)
        gc.collect()
        assert test.counts["held_frames"] == 2
        assert test.drops == {"forgotten": 1}


def test_a_frame_can_be_emitted_only_once() -> None:
    stage = Holds()
    with ConservationTest(stage) as test:
        test.inbound(make_packet(0))
        frame = stage.first()
        stage.emit(frame)
        for direction in (None, "inbound", "outbound"):
            assert "emitted before" in error_of(lambda: stage.emit(frame, direction))  # noqa: B023
        assert numbers(test.inbound()) == [0]
        assert "emitted before" in error_of(lambda: stage.emit(frame))
        assert test.inbound() == test.outbound() == []


def test_the_data_of_an_emitted_frame_is_gone() -> None:
    stage = Holds()
    with ConservationTest(stage) as test:
        test.inbound(make_packet(0))
        frame = stage.first()
        data = frame.data
        stage.emit(frame)
        assert "was emitted" in error_of(lambda: frame.data)
        assert "was emitted" in error_of(frame.to_scapy)
        assert (frame.length, frame.segments, frame.direction) == (40, 1, "inbound")
        test.inbound()
        assert bytes(data) == make_packet(0)


class HoldsFirst(Holds):
    """Holds the first frame of a batch and passes the rest."""

    def process(self, batch: pyfw.FrameBatch) -> None:
        self.held.append(batch.hold(0))


def test_an_overtaken_frame_cannot_be_emitted() -> None:
    stage = HoldsFirst()
    with ConservationTest(stage) as test:
        assert numbers(test.inbound(make_packet(0), make_packet(1))) == [1]
        frames = [stage.first()]
        assert "passed" in error_of(lambda: stage.emit(frames[0]))
        assert bytes(frames[0].data) == make_packet(0)
        assert test.counts["held_frames"] == 1
        frames.clear()
        gc.collect()  # the exception referenced the frame
        assert test.drops == {"forgotten": 1}


def test_other_flows_and_directions_do_not_block_a_frame() -> None:
    stage = HoldsFirst()
    with ConservationTest(stage) as test:
        # A frame of another flow has passed it.
        assert numbers(test.inbound(make_packet(0), make_packet(1, port=8))) == [1]
        stage.emit(stage.first())
        assert numbers(test.inbound(make_packet(2, port=9), make_packet(3, port=9))) == [0, 3]
        # One of its own flow has, but not in the other direction.
        stage.emit(stage.first(), "outbound")
        assert numbers(test.outbound()) == [2]
        assert test.drops == {"turned": 1}


def test_a_reordering_stage_may_emit_overtaken_frames() -> None:
    stage = HoldsFirst()
    stage.reorders = True
    with ConservationTest(stage) as test:
        assert numbers(test.inbound(make_packet(0), make_packet(1))) == [1]
        stage.emit(stage.first())
        assert numbers(test.inbound()) == [0]


def test_frames_of_a_flow_are_emitted_in_order() -> None:
    stage = Holds()
    with ConservationTest(stage) as test:
        test.inbound(*make_packets(4))
        frames = [stage.first() for _ in range(4)]
        stage.emit(frames[1])
        assert "passed" in error_of(lambda: stage.emit(frames[0]))
        stage.emit(frames[3])
        assert "passed" in error_of(lambda: stage.emit(frames[2]))
        assert numbers(test.inbound()) == [1, 3]


def test_emitting_an_invalid_packet_raises() -> None:
    stage = Holds()
    with ConservationTest(stage) as test:
        test.inbound(make_packet(0))
        for packet in (b"", bytes(40), b"\x45" * 19, make_packet(0, length=65_535) + b"x"):
            assert error_of(lambda: stage.emit(packet, "outbound"))  # noqa: B023
        assert "direction" in error_of(lambda: stage.emit(make_packet(9)))
        assert "direction" in error_of(lambda: stage.emit(make_packet(9), "sideways"))  # type: ignore[arg-type]
        for wrong in (None, "text", 7, [stage.held[0]]):
            with pytest.raises(TypeError):
                stage.emit(wrong, "inbound")  # type: ignore[arg-type]
        assert test.inbound() == test.outbound() == []


def test_a_frame_continues_behind_the_stage_that_held_it() -> None:
    holds, other = Holds(), Holds()
    other.name = "other"
    with ConservationTest(holds, other) as test:
        test.inbound(*make_packets(2))
        frame = holds.first()
        other.emit(frame)
        holds.emit(holds.first())
        assert test.inbound() == []
        assert [numbers([bytes(f.data)]) for f in other.held if f is not None] == [[0], [1]]


# From other threads


class Pump(pyfw.Stage):
    """Holds everything, and emits it from a thread of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[HeldFrame] = []
        self.lock = threading.Condition()
        self.stopping = False
        self.errors: list[BaseException] = []

    def start(self) -> None:
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def stop(self) -> None:
        with self.lock:
            self.stopping = True
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
                self.lock.wait_for(lambda: self.waiting or self.stopping)
                if self.stopping:
                    return
                frame = self.waiting.pop(0)
            try:
                self.emit(frame)
            except BaseException as error:
                self.errors.append(error)


def test_another_thread_emits_in_order() -> None:
    stage = Pump()
    with ConservationTest(stage) as test:
        left: list[int] = []
        back: list[int] = []
        for number in range(1000):
            left += numbers(test.inbound(make_packet(2 * number), make_packet(2 * number + 1)))
            back += numbers(test.outbound(make_packet(number)))
        while len(left) < 2000 or len(back) < 1000:
            left += numbers(test.inbound())
            back += numbers(test.outbound())
        assert (left, back) == (list(range(2000)), list(range(1000)))
        assert (stage.errors, test.drops, test.counts["held_frames"]) == ([], {}, 0)


# Removal


def test_frames_of_a_replaced_stage_are_dropped() -> None:
    stage = Holds()
    with ConservationTest(stage) as test:
        test.inbound(*make_packets(3))
        slot_counters = test.slot_counters()
        test.change()
        assert numbers(test.inbound(make_packet(3))) == [3]
        counts = slot_counters()
        assert (counts.drops, counts.held_frames) == ({"stopped": 3}, 0)
        with pytest.raises(RuntimeError, match="is not running"):
            stage.emit(stage.first())
        test.forget_counts()


class HoldsAfterRemoval(Holds):
    """Is removed during a call, and continues to hold frames."""

    remove: Callable[[], None]

    def process(self, batch: pyfw.FrameBatch) -> None:
        self.held.append(batch.hold(0))
        remover = threading.Thread(target=self.remove)
        remover.start()
        remover.join()
        self.held.append(batch.hold(1))
        self.emit(make_packet(9), "inbound")


def test_a_stage_removed_during_a_call_holds_nothing() -> None:
    stage = HoldsAfterRemoval()
    with ConservationTest(stage) as test:
        slot_counters = test.slot_counters()
        stage.remove = lambda: test.chain.set([])
        left = [numbers(test.inbound(*packets)) for packets in (make_packets(3), [make_packet(3)])]
        assert left == [[9, 2], [3]]
        counts = slot_counters()
        assert (counts.held_frames, counts.created) == (0, 1)
        assert counts.drops == {"stopped": 2}
        test.forget_counts()
