"""Runs the stages of a case: started before the replay, stopped after it.

A stage in a replay is the same object as in a daemon; its clock is virtual.
"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pyfw.replay.case import Case

if TYPE_CHECKING:
    from pyfw._native import StageChain
    from pyfw.stages.stage_set import StageSet

# The counters that depend only on the case, not on the clock.
_COUNTED = ("frames", "segments", "created", "failures", "held_segments", "drops", "own")


class RunningStages:
    """The stages of all ends."""

    def __init__(self) -> None:
        self.sets: dict[str, StageSet] = {}

    @property
    def chains(self) -> "dict[str, StageChain]":
        """The chain of each end that has stages."""
        return {end: stages.chain for end, stages in self.sets.items()}

    def add_counters(self, result: dict[str, Any]) -> None:
        """Adds {stage: {counter: number}} to each end of the result."""
        for end, stages in self.sets.items():
            result["ends"][end]["stages"] = {
                name: {key: getattr(counts, key) for key in _COUNTED}
                for name, counts in stages.counters().stages.items()
            }

    def failures(self) -> list[str]:
        """Returns, for each stage that raised, how often, and the first traceback."""
        lines: list[str] = []
        for end, stages in self.sets.items():
            notices = stages.chain.notices()
            for name, counts in stages.counters().stages.items():
                if counts.failures:
                    reasons = (one["reason"] for one in notices if one["stage"] == name)
                    calls = f"{counts.failures} of {counts.calls} calls"
                    first = next(reasons, "").rstrip()
                    lines.append(f"stage {name} at {end} failed in {calls}; the first:\n{first}")
                if counts.is_out:
                    lines.append(f"stage {name} at {end} was removed")
        return lines


@contextlib.contextmanager
def running_stages(case: Case) -> Iterator[RunningStages]:
    """Runs the case's stages within the block.

    Raises ConfigError if a stage cannot be loaded or started, ValueError if its end does not exist.
    """
    running = RunningStages()
    if not case.stages:
        yield running
        return
    # Imported late: most cases have no stages, and start faster without.
    from pyfw.stages.load import load_stages
    from pyfw.stages.stage_set import StageSet

    names = [end.name for end in case.ends]
    with contextlib.ExitStack() as stack:
        for end, configs in case.stages.items():
            if end not in names:
                raise ValueError(f"stages at {end}: no such end; the ends are {', '.join(names)}")
            stages = StageSet(load_stages(configs), configs)
            stack.callback(stages.stop)
            stages.start()
            running.sets[end] = stages
        yield running
