"""Stage: the base class of your own steps in a tunnel's packet paths.

    class NoTelnet(pyfw.Stage):
        \"\"\"Drops TCP to port 23, in both directions.\"\"\"

        def process(self, batch: pyfw.FrameBatch) -> None:
            for i in batch.where(protocol="tcp", dst_port=23):
                batch.drop(i, "telnet")

A stage gets plaintext frames in batches, each of one direction and in order: outbound behind `route`, inbound
behind `coalesce`. A frame is a packet, or a super-packet of up to 64 KiB with its segment size, so a fast
transfer is few frames. Frames that the stage does not drop or hold go on in their order.

The same object runs in a daemon, in a replay and in a unit test. `process` and `tick` are never entered by
two threads at once. docs/extend.md leads from an empty file to a running stage.
"""

from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Literal, Self

import msgspec
import structlog

from pyfw._native import Frame, FrameBatch, HeldFrame, StageSlot

Direction = Literal["inbound", "outbound"]

__all__ = ["Direction", "Frame", "FrameBatch", "HeldFrame", "NoOptions", "Stage"]


class NoOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options of a stage without options."""


class Stage:
    """One step of both paths, written in Python. Subclass it and override what you need.

    options: an instance of the class's `Options`, or its fields as keyword arguments. If you override
    `__init__`, pass them on. What needs the running tunnel belongs in `start`.
    """

    Options: ClassVar[type[msgspec.Struct]] = NoOptions
    """A frozen msgspec.Struct with the types and defaults of `options` in NAME.pyfw.toml."""

    direction: Literal["both", "inbound", "outbound"] = "both"
    """Which direction it sees."""
    peers: Collection[str] | None = None
    """Public keys (base64) of the peers whose frames it sees; None: all."""
    filter: Mapping[str, Any] | str | None = None
    """Which frames it sees: arguments of `FrameBatch.where`, or a tcpdump expression. Others bypass it, and a
    batch without matching frames never reaches Python."""
    reorders: bool = False
    """Whether it may emit a frame after a later one of the same flow."""
    on_error: Literal["drop", "pass"] = "drop"
    """What happens to the frames of a batch if `process` raises: dropped and counted, or passed unchanged."""
    tick_ms: float = 0.0
    """Time between calls of `tick`; 0: only those that `wake_at` requests."""
    hold_frames: int = 1024
    """Frames that it may hold at once; beyond it, `hold` drops the frame (reason "hold_overflow")."""
    hold_bytes: int = 4 << 20
    """Bytes of frames that it may hold at once."""

    options: Any
    name: str
    """Its name in counters and logs: `name` in NAME.pyfw.toml, or the name of the class."""

    def __init__(self, options: msgspec.Struct | None = None, **fields: Any) -> None:
        self.options = options if options is not None else self.Options(**fields)
        self.name = type(self).__name__
        self._slot: StageSlot | None = None

    # Override these

    def start(self) -> None:
        """Called before the first batch. If it raises, the tunnel does not start, or does not reload."""

    def stop(self) -> None:
        """Called after the last batch. Frames that are still held are dropped (reason "stopped")."""

    def process(self, batch: FrameBatch) -> None:
        """Called with each batch, in order. The batch cannot be used after this returns."""

    def tick(self, now_ns: int) -> None:
        """Called between batches, as `tick_ms` and `wake_at` request. now_ns: boot time, as `received_ns`."""

    def handover(self) -> Any:
        """Returns state for the next version of this stage at a reload; it may include held frames.

        Keep the state as well: if the next version cannot start, this one keeps running.
        """
        return None

    def takeover(self, state: Any) -> None:
        """Called before the first batch with what the previous version's `handover` returned, unless None."""

    # Call these

    def emit(self, frame: HeldFrame | bytes, direction: Direction | None = None) -> None:
        """Sends a held frame, or a packet of your own, to what is behind this stage.

        From `process`, it goes before the frames of a batch of the same direction. direction: None is that of
        the held frame; a packet of your own needs one. Outbound packets are routed by their destination. May
        be called from any thread. Raises ValueError for a frame that was emitted before, for bytes that are
        not an IP packet, and, unless the stage `reorders`, for a frame that a later one of its flow has
        passed.
        """
        self._bound().emit(frame, direction)

    def wake_at(self, when_ns: int) -> None:
        """Requests a `tick` at that boot time (as `received_ns`); of several requests the earliest counts."""
        self._bound().wake_at(when_ns)

    def count(self, counter: str, amount: int = 1) -> None:
        """Adds to a counter of the stage's own, shown with the tunnel's counters."""
        self._bound().count(counter, amount)

    @property
    def log(self) -> Any:
        """A structlog logger bound to the stage's name. Never log payload or keys."""
        return structlog.get_logger("pyfw").bind(stage=self.name)

    def _bound(self) -> StageSlot:
        if self._slot is None:
            raise RuntimeError(
                f"stage {self.name} is not running: call this from start, process or tick"
            )
        return self._slot

    def named(self, name: str) -> Self:
        """Renames the stage and returns it."""
        self.name = name
        return self
