"""A stage that raises: the declared policy for the frames of that call, and exact counts."""

from collections.abc import Callable
from typing import Any

import pytest

import pyfw
from tests.faults.conservation import Judged, batch_of, numbered, numbers


class Unspeakable(Exception):
    """Cannot be told."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Raises(pyfw.Stage):
    """Raises on the calls that it is told to."""

    def __init__(self, error: Callable[[], BaseException], when: Callable[[int], bool]) -> None:
        super().__init__()
        self.error, self.when, self.calls = error, when, 0

    def process(self, batch: pyfw.FrameBatch) -> None:
        self.calls += 1
        batch.mark(0, 1)
        if self.when(self.calls):
            raise self.error()


def each(call: int) -> bool:
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
    "Unspeakable": Unspeakable,
}
errors = pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)


@errors
def test_what_was_shown_in_a_call_that_raised_is_dropped(
    error: Callable[[], BaseException],
) -> None:
    with Judged(Raises(error, each)) as test:
        assert test.inbound(*batch_of(3)) == []
        assert test.outbound(*batch_of(2)) == []
        assert test.drops == {"raised": 5}
        assert (test.counts["calls"], test.counts["failures"]) == (2, 2)


@errors
def test_with_the_policy_pass_it_goes_on_untouched(error: Callable[[], BaseException]) -> None:
    stage = Raises(error, each)
    stage.on_error = "pass"
    with Judged(stage) as test:
        assert test.inbound(*batch_of(3)) == batch_of(3)
        assert (test.drops, test.counts["failures"]) == ({}, 1)


@errors
def test_its_kind_is_told_with_its_traceback(error: Callable[[], BaseException]) -> None:
    kind = type(error()).__name__
    with Judged(Raises(error, each)) as test:
        test.inbound(numbered(1))
        (notice,) = test.notices()
    assert (notice["message"], notice["stage"]) == ("stage.raised", "Raises")
    assert kind in notice["reason"] and "in process" in notice["reason"]


def test_one_call_in_a_thousand_costs_its_frames_and_no_others() -> None:
    with Judged(Raises(ValueError, lambda call: call % 1000 == 0)) as test:
        left = []
        for call in range(5000):
            left += test.inbound(numbered(2 * call), numbered(2 * call + 1))
        assert test.drops == {"raised": 10}
        assert (test.counts["calls"], test.counts["failures"]) == (5000, 5)
        assert numbers(left) == [n for n in range(10_000) if (n // 2 + 1) % 1000]


class SpoilsFirst(pyfw.Stage):
    """Says all that can be said of frames, and then raises."""

    on_error = "pass"

    def process(self, batch: pyfw.FrameBatch) -> None:
        if batch.direction == "outbound":
            return
        batch.drop(0, "unwanted")
        batch.replace(1, numbered(99))
        batch.set_ecn(2, 3)
        batch.mark(2, 1)
        batch.insert(3, numbered(98))
        batch.answer(3, numbered(97))
        rows = batch.split(4)
        batch.drop(rows[0], "unwanted")
        batch.replace(5, numbered(96, length=240))
        batch.split(5)
        raise ValueError


@pytest.mark.parametrize("policy", ["pass", "drop"])
def test_verdicts_of_a_call_that_raised_count_for_nothing(policy: Any) -> None:
    stage = SpoilsFirst()
    stage.on_error = policy
    packets = [numbered(number, length=140) for number in range(6)]
    with Judged(stage) as test:
        plain = Judged()
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
    """Holds the first frame of each batch, sends on the one before, and raises."""

    def process(self, batch: pyfw.FrameBatch) -> None:
        previous = getattr(self, "kept", None)
        self.kept = batch.hold(0)
        if previous is not None:
            self.emit(previous)
        raise ValueError


def test_what_a_call_held_or_sent_on_before_it_raised_stays_so() -> None:
    with Judged(HoldsThenRaises()) as test:
        assert test.inbound(*batch_of(2)) == []
        assert numbers(test.inbound(numbered(2), numbered(3))) == [0]
        assert (test.counts["held_frames"], test.drops) == (1, {"raised": 2})


class HoldsASegmentThenRaises(pyfw.Stage):
    """Holds the second segment of a frame, and raises."""

    on_error = "pass"

    def process(self, batch: pyfw.FrameBatch) -> None:
        self.held = batch.hold(batch.split(0)[1])
        raise ValueError


def test_a_frame_of_which_a_segment_is_held_stays_split_when_the_call_raises() -> None:
    stage = HoldsASegmentThenRaises()
    packet = numbered(0, length=140)
    with Judged(stage) as test, Judged() as plain:
        first, second, third = plain.inbound(packet, segment_size=50)
        assert test.inbound(packet, segment_size=50) == [first, third]
        assert stage.held is not None and stage.held.segments == 1
        assert len(second) == stage.held.length


class Ticks(pyfw.Stage):
    """Raises when it gets the time."""

    tick_ms = 10.0

    def tick(self, now_ns: int) -> None:
        raise ValueError


def test_a_tick_that_raises_costs_no_frame_and_comes_again() -> None:
    with Judged(Ticks()) as test:
        test.tick(test.now_ns + 100_000_000)
        assert test.inbound(*batch_of(2)) == batch_of(2)
        assert 10 <= test.counts["failures"] <= 11
        assert test.counts["calls"] == 1


# The breaker


def test_after_so_many_failures_in_a_row_a_stage_is_taken_out_and_the_others_go_on() -> None:
    stage, behind = Raises(ValueError, each), Raises(ValueError, never)
    behind.name = "behind"
    with Judged(stage, behind, failures=3, outcome="remove") as test:
        assert [len(test.inbound(*batch_of(2))) for _ in range(5)] == [0, 0, 0, 2, 2]
        counts = test.counts
        assert (counts["calls"], counts["failures"], counts["is_out"]) == (3, 3, True)
        assert counts["drops"] == {"raised": 6}
        assert test.counters["stages"]["behind"]["calls"] == 2
        said = test.notices()
    assert [notice["message"] for notice in said] == [
        "stage.raised",
        "stage.raised",
        "stage.removed",
    ]
    assert [notice["times"] for notice in said[:2]] == [1, 2]


def test_one_call_that_returns_starts_the_count_anew() -> None:
    stage = Raises(ValueError, lambda call: call % 3 != 0)
    with Judged(stage, failures=3, outcome="remove") as test:
        for _ in range(30):
            test.inbound(numbered(0))
        assert (test.counts["failures"], test.counts["is_out"]) == (20, False)


def test_what_a_stage_holds_is_dropped_when_it_is_taken_out() -> None:
    with Judged(HoldsThenRaises(), failures=2, outcome="remove") as test:
        left = [numbers(test.inbound(numbered(n), numbered(n + 1))) for n in (0, 2, 4)]
        assert left == [[], [0], [4, 5]]
        assert test.drops == {"raised": 2, "stopped": 1}
        assert test.counts["held_frames"] == 0


def test_with_the_outcome_close_a_stage_is_never_passed_by() -> None:
    with Judged(Raises(ValueError, each), failures=3, outcome="close") as test:
        assert [test.inbound(numbered(0)) for _ in range(5)] == [[]] * 5
        assert test.drops == {"raised": 5}
