"""pyfw.StageTest with a clock in every call: what leaves at which moment."""

from collections.abc import Sequence
from typing import Any

import pyfw


class Trial(pyfw.StageTest):
    """One stage, from the moment 0 on."""

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
        """Feeds a batch that comes then."""
        self.now_ns = now_ns
        feed = self.inbound if towards == "inbound" else self.outbound
        return feed(*packets, segment_size=segment_size)

    def until(self, now_ns: int, towards: str = "inbound") -> list[bytes]:
        """Lets time pass; what leaves meanwhile."""
        self.tick(now_ns)
        return self.feed([], now_ns, towards)

    def change(self, stage: pyfw.Stage) -> None:
        """Reloads the stage."""
        self._set.change([stage])
        self.stage = stage

    @property
    def counts(self) -> dict[str, Any]:
        """The stage's counters."""
        counters: dict[str, Any] = self.counters["stages"][self.stage.name]
        return counters
