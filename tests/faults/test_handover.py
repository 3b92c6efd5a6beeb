"""Replacing stages while frames are held: all new versions take over, or all old ones stay."""

from typing import Any

import pytest

import pyfw
from pyfw import HeldFrame
from tests.faults.conservation import ConservationTest, make_packet, make_packets, numbers


class HoldsOneBatch(pyfw.Stage):
    """Holds each frame until the next batch and hands held frames over. `raises`: the method that raises."""

    def __init__(self, name: str, raises: str = "") -> None:
        super().__init__()
        self.name = name
        self.raises = raises
        self.held: list[HeldFrame] = []
        self.calls: list[str] = []

    def start(self) -> None:
        self._step("start")

    def stop(self) -> None:
        self._step("stop")

    def handover(self) -> Any:
        self._step("handover")
        return self.held

    def takeover(self, state: Any) -> None:
        self._step("takeover")
        self.held = list(state)

    def process(self, batch: pyfw.FrameBatch) -> None:
        for frame in self.held:
            self.emit(frame)
        held = [batch.hold(i) for i in range(len(batch))]
        self.held = [frame for frame in held if frame is not None]

    def _step(self, name: str) -> None:
        self.calls.append(name)
        if self.raises == name:
            raise ValueError(name)


def test_held_frames_are_handed_over_and_leave_in_order() -> None:
    old, new = HoldsOneBatch("one"), HoldsOneBatch("one")
    with ConservationTest(old) as test:
        test.inbound(*make_packets(3))
        test.change(new)
        assert numbers(test.inbound(make_packet(3))) == [0, 1, 2]
        assert (test.drops, test.counts["calls"]) == ({}, 2)
    assert old.calls == ["start", "handover", "stop"]
    assert new.calls == ["start", "takeover", "stop"]


def test_frames_that_are_not_handed_over_are_dropped() -> None:
    class Forgets(HoldsOneBatch):
        def handover(self) -> Any:
            self.held.pop()
            return super().handover()

    with ConservationTest(Forgets("one")) as test:
        test.inbound(*make_packets(3))
        test.change(HoldsOneBatch("one"))
        assert numbers(test.inbound(make_packet(3))) == [0, 1]
        assert test.drops == {"forgotten": 1}


@pytest.mark.parametrize("raises", ["start", "takeover"])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_if_one_new_stage_fails_all_old_ones_stay(raises: str, which: int) -> None:
    names = ("one", "two", "three")
    old = [HoldsOneBatch(name) for name in names]
    new = [HoldsOneBatch(name, raises if n == which else "") for n, name in enumerate(names)]
    with ConservationTest(*old) as test:
        for number in range(5):
            test.inbound(make_packet(number))
        with pytest.raises(ValueError, match=raises):
            test.change(*new)
        left: list[int] = []
        for number in range(5, 10):
            left += numbers(test.inbound(make_packet(number)))
        # Each of the three stages holds one frame; none is lost or overtaken.
        assert left == list(range(2, 7))
        assert test.drops == {}
        assert all(stage.calls[0] == "start" and "stop" not in stage.calls for stage in old)
        assert all("process" not in stage.calls for stage in new)
        assert [stage.calls[-1] for stage in new if stage.calls] == ["stop"] * len(
            [stage for stage in new if stage.calls]
        )
    assert all(stage.calls[-1] == "stop" for stage in old)


def test_if_one_handover_fails_all_old_stages_stay() -> None:
    old = [HoldsOneBatch("one"), HoldsOneBatch("two", "handover")]
    with ConservationTest(*old) as test:
        for number in range(3):
            test.inbound(make_packet(number))
        with pytest.raises(ValueError, match="handover"):
            test.change(HoldsOneBatch("one"), HoldsOneBatch("two"))
        assert [numbers(test.inbound(make_packet(n))) for n in (3, 4)] == [[1], [2]]
        assert test.drops == {}
