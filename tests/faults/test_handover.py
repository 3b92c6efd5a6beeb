"""Another version of a stage, while frames are held: it takes over, or all stays as it was."""

from typing import Any

import pytest

import pyfw
from pyfw import HeldFrame
from tests.faults.conservation import Judged, batch_of, numbered, numbers


class Keeps(pyfw.Stage):
    """Holds what comes and hands it over. `wrong` says where it raises."""

    def __init__(self, name: str, wrong: str = "") -> None:
        super().__init__()
        self.name = name
        self.wrong = wrong
        self.held: list[HeldFrame] = []
        self.life: list[str] = []

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
        self.life.append(name)
        if self.wrong == name:
            raise ValueError(name)


class Trial(Judged):
    """With stages that can be exchanged."""

    def change(self, *stages: pyfw.Stage) -> None:
        self._set.change(stages)


def test_held_frames_go_over_to_the_next_version_and_leave_in_order() -> None:
    old, new = Keeps("one"), Keeps("one")
    with Trial(old) as test:
        test.inbound(*batch_of(3))
        test.change(new)
        assert numbers(test.inbound(numbered(3))) == [0, 1, 2]
        assert (test.drops, test.counts["calls"]) == ({}, 2)
    assert old.life == ["start", "handover", "stop"]
    assert new.life == ["start", "takeover", "stop"]


def test_what_is_not_handed_over_is_dropped_when_the_old_version_goes() -> None:
    class Forgets(Keeps):
        def handover(self) -> Any:
            self.held.pop()
            return super().handover()

    with Trial(Forgets("one")) as test:
        test.inbound(*batch_of(3))
        test.change(Keeps("one"))
        assert numbers(test.inbound(numbered(3))) == [0, 1]
        assert test.drops == {"forgotten": 1}


@pytest.mark.parametrize("wrong", ["start", "takeover"])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_where_one_of_several_cannot_begin_all_of_them_stay(wrong: str, which: int) -> None:
    names = ("one", "two", "three")
    old = [Keeps(name) for name in names]
    new = [Keeps(name, wrong if n == which else "") for n, name in enumerate(names)]
    with Trial(*old) as test:
        for number in range(5):
            test.inbound(numbered(number))
        with pytest.raises(ValueError, match=wrong):
            test.change(*new)
        left: list[int] = []
        for number in range(5, 10):
            left += numbers(test.inbound(numbered(number)))
        # Three stages hold one each; whatever they did meanwhile, none was lost or overtaken.
        assert left == list(range(2, 7))
        assert test.drops == {}
        assert all(stage.life[0] == "start" and "stop" not in stage.life for stage in old)
        assert all("process" not in stage.life for stage in new)
        assert [stage.life[-1] for stage in new if stage.life] == ["stop"] * len(
            [stage for stage in new if stage.life]
        )
    assert all(stage.life[-1] == "stop" for stage in old)


def test_where_one_cannot_hand_over_all_of_them_stay() -> None:
    old = [Keeps("one"), Keeps("two", "handover")]
    with Trial(*old) as test:
        for number in range(3):
            test.inbound(numbered(number))
        with pytest.raises(ValueError, match="handover"):
            test.change(Keeps("one"), Keeps("two"))
        assert [numbers(test.inbound(numbered(n))) for n in (3, 4)] == [[1], [2]]
        assert test.drops == {}
