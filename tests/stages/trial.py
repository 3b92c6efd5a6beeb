"""A stage alone in a chain, without a tunnel: packets in, packets out, at times that the test gives."""

from collections.abc import Sequence
from typing import Any

from pyfw import _native
from pyfw.stage import Stage


class Trial:
    """Runs a stage from `start` to `stop`, as a context manager."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._is_started = False
        self._chain = _native.StageChain()
        filter_ = {"bpf": stage.filter} if isinstance(stage.filter, str) else stage.filter
        self._slot = self._chain.slot(
            stage,
            name=stage.name,
            direction=stage.direction,
            peers=list(stage.peers) if stage.peers is not None else None,
            filter=filter_,
            reorders=stage.reorders,
            on_error=stage.on_error,
            tick_ms=stage.tick_ms,
            hold_frames=stage.hold_frames,
            hold_bytes=stage.hold_bytes,
        )
        stage._slot = self._slot
        self._chain.set([self._slot])

    @classmethod
    def running(cls, stage: Stage) -> "Trial":
        """One whose stage was started before, and took over."""
        trial = cls(stage)
        trial._is_started = True
        return trial

    def __enter__(self) -> "Trial":
        if not self._is_started:
            self.stage.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stage.stop()
        self._chain.set([])

    def feed(
        self,
        packets: Sequence[Any],
        now_ns: int = 0,
        towards: str = "inbound",
        segment_size: int = 0,
    ) -> list[bytes]:
        raw = [bytes(packet) for packet in packets]
        fed: list[bytes] = self._chain.try_packets(
            raw, towards=towards, now_ns=now_ns, segment_size=segment_size
        )
        return fed

    def tick(self, now_ns: int, towards: str = "inbound") -> list[bytes]:
        """What leaves at that moment."""
        self._chain.try_tick(now_ns)
        return self.feed([], now_ns, towards)

    @property
    def due_ns(self) -> int | None:
        due: int | None = self._chain.due_ns()
        return due

    def counters(self) -> dict[str, Any]:
        counters: dict[str, Any] = self._slot.counters()
        return counters
