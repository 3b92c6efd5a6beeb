"""Stage: what you write to see and change the packets of a tunnel. All that a stage author reads.

    class NoTelnet(pyfw.Stage):
        \"\"\"Refuse TCP port 23, in both directions.\"\"\"

        def process(self, batch: pyfw.FrameBatch) -> None:
            for i in batch.where(protocol="tcp", dst_port=23):
                batch.drop(i, "telnet")

In: batches of plaintext frames, of one direction each, in order: outbound behind `route`, inbound behind
`coalesce`. A frame is a packet, or a super-packet of up to 64 KiB with its segment size, so a fast
transfer is few items. Out: the same frames less what was dropped, with what was changed or made. Drops:
what you drop, under the reason you give. Order: frames go on in the order in which they came.

The same object runs in a daemon, in a replay and in a unit test; `process` and `tick` are never entered
by two threads at once. docs/extend.md leads from an empty file to a stage that runs.
"""

from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Literal, Self

import msgspec
import structlog

from pyfw._native import Frame, FrameBatch, HeldFrame, StageSlot

Direction = Literal["inbound", "outbound"]

__all__ = ["Direction", "Frame", "FrameBatch", "HeldFrame", "NoOptions", "Stage"]


class NoOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The options of a stage that has none."""


class Stage:
    """One step of both paths, written in Python. Subclass it and override what you need.

    options: an instance of the class's `Options`, or its fields as keyword arguments. Where you override
    `__init__`, hand them on; what needs the running tunnel belongs into `start`.
    """

    Options: ClassVar[type[msgspec.Struct]] = NoOptions
    """A frozen msgspec.Struct: what `options` in NAME.pyfw.toml may hold, with types and defaults."""

    direction: Literal["both", "inbound", "outbound"] = "both"
    """Which path it stands in."""
    peers: Collection[str] | None = None
    """Public keys (base64) whose frames it sees; None: all peers'."""
    filter: Mapping[str, Any] | str | None = None
    """Which frames it sees: the words of `FrameBatch.where`, or a BPF expression as tcpdump takes it.
    Others pass it by, and a batch of none never reaches Python."""
    reorders: bool = False
    """Whether it may emit a frame after a later one of the same flow."""
    on_error: Literal["drop", "pass"] = "drop"
    """What becomes of a batch's frames where `process` raises: dropped and counted, or passed untouched."""
    tick_ms: float = 0.0
    """`tick` is called this often; 0: only when `wake_at` asked for it."""
    hold_frames: int = 1024
    """Frames it may hold at once; beyond it, `hold` drops them (reason "hold_overflow")."""
    hold_bytes: int = 4 << 20
    """Their bytes, likewise."""

    options: Any
    name: str
    """What counters and logs call it: `name` of its table in NAME.pyfw.toml, or the class's own."""

    def __init__(self, options: msgspec.Struct | None = None, **fields: Any) -> None:
        self.options = options if options is not None else self.Options(**fields)
        self.name = type(self).__name__
        self._slot: StageSlot | None = None

    # What you override

    def start(self) -> None:
        """Before the first batch. An exception here keeps the tunnel (or a reload) from starting."""

    def stop(self) -> None:
        """After the last batch. What is still held afterwards is dropped (reason "stopped")."""

    def process(self, batch: FrameBatch) -> None:
        """Gets each batch, in order. The batch is dead once this returns."""

    def tick(self, now_ns: int) -> None:
        """Called as `tick_ms` and `wake_at` ask, between batches. now_ns: boot time, as `received_ns`."""

    def handover(self) -> Any:
        """What the next version of this stage shall have, at a reload; held frames may be among it.

        Keep it as well: where the next version cannot begin, this one goes on.
        """
        return None

    def takeover(self, state: Any) -> None:
        """Gets what the previous version's `handover` gave, unless None, before the first batch."""

    # What you call

    def emit(self, frame: HeldFrame | bytes, direction: Direction | None = None) -> None:
        """Sends a held frame, or a packet of your own, on its way behind this stage.

        From `process` it goes before the batch's frames where the direction is the batch's. direction: None
        is the held frame's own; a packet of your own needs one. Outbound it is routed by its destination.
        May be called from any thread. Raises ValueError for a frame that was emitted before, for what is no
        IP packet, and, unless the stage `reorders`, for a frame that a later one of its flow has passed.
        """
        self._bound().emit(frame, direction)

    def wake_at(self, when_ns: int) -> None:
        """Asks for one `tick` at that boot time (as `received_ns`); the earliest one asked for counts."""
        self._bound().wake_at(when_ns)

    def count(self, counter: str, amount: int = 1) -> None:
        """Adds to a counter of the stage's own, shown beside the tunnel's."""
        self._bound().count(counter, amount)

    @property
    def log(self) -> Any:
        """A structlog logger that names the stage. Never log payload or keys."""
        return structlog.get_logger("pyfw").bind(stage=self.name)

    def _bound(self) -> StageSlot:
        if self._slot is None:
            raise RuntimeError(
                f"stage {self.name} does not run yet: call this from process or tick"
            )
        return self._slot

    def named(self, name: str) -> Self:
        """The same stage under another name."""
        self.name = name
        return self
