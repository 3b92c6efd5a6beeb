"""The stages of a case at work: found and started before a replay, counted and stopped after it.

In: a case whose ends are known. Out: chains by end, for pyfw._native.replay; then what the stages counted,
and what they raised. A stage of a replay is the same object as in a daemon; its clock is the replay's.
"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pyfw.replay.case import Case

if TYPE_CHECKING:
    from pyfw.pipeline import StageSet

# Numbers of a stage that depend on nothing but the case: no times, no waits.
_COUNTED = ("frames", "segments", "created", "failures", "held_segments", "drops", "own")


class Running:
    """Stages of all ends."""

    def __init__(self) -> None:
        self.sets: dict[str, StageSet] = {}

    @property
    def chains(self) -> dict[str, Any]:
        """What a plan has under "stages"."""
        return {end: stages.chain for end, stages in self.sets.items()}

    def add_counters(self, result: dict[str, Any]) -> None:
        """Puts what was counted beside each end's counters: {stage: {counter: number}}."""
        for end, stages in self.sets.items():
            result["ends"][end]["stages"] = {
                name: {key: getattr(counts, key) for key in _COUNTED}
                for name, counts in stages.counters().stages.items()
            }

    def faults(self) -> list[str]:
        """What they raised: how often, and the first traceback; the same every time."""
        found: list[str] = []
        for end, stages in self.sets.items():
            notices = stages.chain.notices()
            for name, counts in stages.counters().stages.items():
                of_stage = [one for one in notices if one["stage"] == name]
                if counts.failures:
                    first = next((one["reason"] for one in of_stage), "").rstrip()
                    times = f"{counts.failures} of {counts.calls} calls"
                    found.append(f"stage {name} at {end} failed in {times}; the first:\n{first}")
                if counts.is_out:
                    found.append(f"stage {name} at {end} was taken out")
        return found


@contextlib.contextmanager
def running(case: Case) -> Iterator[Running]:
    """Runs the case's stages while the block does.

    Raises ConfigError for a stage that cannot be had or cannot start, ValueError for an end that is none.
    """
    found = Running()
    if not case.stages:
        yield found
        return
    # Most cases have none, and start faster without.
    from pyfw.pipeline import StageSet
    from pyfw.stages.find import find

    names = [end.name for end in case.ends]
    with contextlib.ExitStack() as stack:
        for end, configs in case.stages.items():
            if end not in names:
                text = f"stages are asked for at {end}, but the ends are {', '.join(names)}"
                raise ValueError(text)
            stages = StageSet(find(configs), configs)
            stack.callback(stages.stop)
            stages.start()
            found.sets[end] = stages
        yield found
