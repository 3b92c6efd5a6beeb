"""Stages that raise: `on_error` applies to the frames of the call, and counts are exact."""

from collections.abc import Callable
from typing import Any

import pytest

import pyfw
from tests.faults.conservation import ConservationTest, make_packet, make_packets, numbers


class Unprintable(Exception):
    """Its __str__ raises."""

    def __str__(self) -> str:
        raise RuntimeError("no message")


class Raises(pyfw.Stage):
    """Raises an error in calls that `when` selects."""

    def __init__(self, error: Callable[[], BaseException], when: Callable[[int], bool]) -> None:
        super().__init__()
        self.error, self.when, self.calls = error, when, 0

    def process(self, batch: pyfw.FrameBatch) -> None:
        self.calls += 1
        batch.mark(0, 1)
        if self.when(self.calls):
            raise self.error()


def always(call: int) -> bool:
    return True


def never(call: int) -> bool:
    return False


def endless() -> None:
    endless()


def recursion() -> BaseException:
    try:
        endless()
    except RecursionError as error:
        return error
    raise AssertionError


def exhausted() -> BaseException:
    try:
        bytes(1 << 60)
    except MemoryError as error:
        return error
    raise AssertionError


ERRORS: dict[str, Callable[[], BaseException]] = {
    "ValueError": ValueError,
    "SystemExit": SystemExit,
    "KeyboardInterrupt": KeyboardInterrupt,
    "RecursionError": recursion,
    "MemoryError": exhausted,
    "GeneratorExit": GeneratorExit,
    "BaseException": BaseException,
    "Unprintable": Unprintable,
}
errors = pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)


@errors
def test_frames_of_a_failed_call_are_dropped(
    error: Callable[[], BaseException],
) -> None:
    with ConservationTest(Raises(error, always)) as test:
        assert test.inbound(*make_packets(3)) == []
        assert test.outbound(*make_packets(2)) == []
        assert test.drops == {"raised": 5}
        assert (test.counts["calls"], test.counts["failures"]) == (2, 2)


@errors
def test_on_error_pass_passes_frames_unchanged(error: Callable[[], BaseException]) -> None:
    stage = Raises(error, always)
    stage.on_error = "pass"
    with ConservationTest(stage) as test:
        assert test.inbound(*make_packets(3)) == make_packets(3)
        assert (test.drops, test.counts["failures"]) == ({}, 1)


@errors
def test_the_notice_contains_the_traceback(error: Callable[[], BaseException]) -> None:
    kind = type(error()).__name__
    with ConservationTest(Raises(error, always)) as test:
        test.inbound(make_packet(1))
        (notice,) = test.notices()
    assert (notice["message"], notice["stage"]) == ("stage.raised", "Raises")
    assert kind in notice["reason"] and "in process" in notice["reason"]


def test_one_failed_call_in_a_thousand_drops_only_its_frames() -> None:
    with ConservationTest(Raises(ValueError, lambda call: call % 1000 == 0)) as test:
        left = []
        for call in range(5000):
            left += test.inbound(make_packet(2 * call), make_packet(2 * call + 1))
        assert test.drops == {"raised": 10}
        assert (test.counts["calls"], test.counts["failures"]) == (5000, 5)
        assert numbers(left) == [n for n in range(10_000) if (n // 2 + 1) % 1000]


class DecidesThenRaises(pyfw.Stage):
    """Gives every kind of verdict, and then raises."""

    on_error = "pass"

    def process(self, batch: pyfw.FrameBatch) -> None:
        if batch.direction == "outbound":
            return
        batch.drop(0, "unwanted")
        batch.replace(1, make_packet(99))
        batch.set_ecn(2, 3)
        batch.mark(2, 1)
        batch.insert(3, make_packet(98))
        batch.answer(3, make_packet(97))
        rows = batch.split(4)
        batch.drop(rows[0], "unwanted")
        batch.replace(5, make_packet(96, length=240))
        batch.split(5)
        raise ValueError


@pytest.mark.parametrize("policy", ["pass", "drop"])
def test_verdicts_of_a_failed_call_are_undone(policy: Any) -> None:
    stage = DecidesThenRaises()
    stage.on_error = policy
    packets = [make_packet(number, length=140) for number in range(6)]
    with ConservationTest(stage) as test:
        plain = ConservationTest()
        with plain:
            expected = plain.inbound(*packets, segment_size=50)
        left = test.inbound(*packets, segment_size=50)
        assert test.outbound() == []
        segments = len(expected)
        if policy == "pass":
            assert (left, test.drops) == (expected, {})
        else:
            assert (left, test.drops) == ([], {"raised": segments})
        assert test.counts["created"] == 0


class HoldsThenRaises(pyfw.Stage):
    """Holds the first frame of each batch, emits the previous one, and raises."""

    def process(self, batch: pyfw.FrameBatch) -> None:
        previous = getattr(self, "held", None)
        self.held = batch.hold(0)
        if previous is not None:
            self.emit(previous)
        raise ValueError


def test_frames_held_or_emitted_before_a_failure_stay_so() -> None:
    with ConservationTest(HoldsThenRaises()) as test:
        assert test.inbound(*make_packets(2)) == []
        assert numbers(test.inbound(make_packet(2), make_packet(3))) == [0]
        assert (test.counts["held_frames"], test.drops) == (1, {"raised": 2})


class HoldsASegmentThenRaises(pyfw.Stage):
    """Holds the second segment of a frame, and raises."""

    on_error = "pass"

    def process(self, batch: pyfw.FrameBatch) -> None:
        self.held = batch.hold(batch.split(0)[1])
        raise ValueError


def test_a_frame_with_a_held_segment_stays_split_on_failure() -> None:
    stage = HoldsASegmentThenRaises()
    packet = make_packet(0, length=140)
    with ConservationTest(stage) as test, ConservationTest() as plain:
        first, second, third = plain.inbound(packet, segment_size=50)
        assert test.inbound(packet, segment_size=50) == [first, third]
        assert stage.held is not None and stage.held.segments == 1
        assert len(second) == stage.held.length


class Ticks(pyfw.Stage):
    """Raises in `tick`."""

    tick_ms = 10.0

    def tick(self, now_ns: int) -> None:
        raise ValueError


def test_a_failed_tick_drops_no_frame_and_is_repeated() -> None:
    with ConservationTest(Ticks()) as test:
        test.tick(test.now_ns + 100_000_000)
        assert test.inbound(*make_packets(2)) == make_packets(2)
        assert 10 <= test.counts["failures"] <= 11
        assert test.counts["calls"] == 1


# Too many failures in a row


def test_failures_in_a_row_remove_only_that_stage() -> None:
    stage, behind = Raises(ValueError, always), Raises(ValueError, never)
    behind.name = "behind"
    with ConservationTest(stage, behind, failures=3, outcome="remove") as test:
        assert [len(test.inbound(*make_packets(2))) for _ in range(5)] == [0, 0, 0, 2, 2]
        counts = test.counts
        assert (counts["calls"], counts["failures"], counts["is_out"]) == (3, 3, True)
        assert counts["drops"] == {"raised": 6}
        assert test.counters["stages"]["behind"]["calls"] == 2
        notices = test.notices()
    assert [notice["message"] for notice in notices] == [
        "stage.raised",
        "stage.raised",
        "stage.removed",
    ]
    assert [notice["times"] for notice in notices[:2]] == [1, 2]


def test_a_successful_call_resets_the_failure_count() -> None:
    stage = Raises(ValueError, lambda call: call % 3 != 0)
    with ConservationTest(stage, failures=3, outcome="remove") as test:
        for _ in range(30):
            test.inbound(make_packet(0))
        assert (test.counts["failures"], test.counts["is_out"]) == (20, False)


def test_held_frames_of_a_removed_stage_are_dropped() -> None:
    with ConservationTest(HoldsThenRaises(), failures=2, outcome="remove") as test:
        left = [numbers(test.inbound(make_packet(n), make_packet(n + 1))) for n in (0, 2, 4)]
        assert left == [[], [0], [4, 5]]
        assert test.drops == {"raised": 2, "stopped": 1}
        assert test.counts["held_frames"] == 0


def test_outcome_close_never_bypasses_the_stage() -> None:
    with ConservationTest(Raises(ValueError, always), failures=3, outcome="close") as test:
        assert [test.inbound(make_packet(0)) for _ in range(5)] == [[]] * 5
        assert test.drops == {"raised": 5}
