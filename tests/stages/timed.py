"""A StageTest whose calls take the time, to see what leaves when."""

from collections.abc import Sequence
from typing import Any

import pyfw


class TimedStageTest(pyfw.StageTest):
    """One stage, from time 0 on."""

    def __init__(self, stage: pyfw.Stage) -> None:
        super().__init__(stage, now_ns=0)
        self.stage = stage

    def feed(
        self,
        packets: Sequence[Any],
        now_ns: int = 0,
        towards: str = "inbound",
        segment_size: int = 0,
    ) -> list[bytes]:
        """Feeds a batch at that time."""
        self.now_ns = now_ns
        feed = self.inbound if towards == "inbound" else self.outbound
        return feed(*packets, segment_size=segment_size)

    def until(self, now_ns: int, towards: str = "inbound") -> list[bytes]:
        """Advances the clock, and returns what leaves meanwhile."""
        self.tick(now_ns)
        return self.feed([], now_ns, towards)

    def reload(self, stage: pyfw.Stage) -> None:
        """Replaces the stage."""
        self._set.change([stage])
        self.stage = stage

    @property
    def counts(self) -> dict[str, Any]:
        """The stage's counters."""
        counts: dict[str, Any] = self.counters["stages"][self.stage.name]
        return counts
