"""FlowBytes: who uses the tunnel? Counts bytes a flow, with numpy, whole columns at a time.

    [[stages]]
    use = "examples/flow_bytes.py:FlowBytes"
    options = { flows_max = 10_000 }

In: frames. Out: the same. Drops: nothing. Order: as they came. Memory: `flows_max` flows; the bytes of
others are counted together. The biggest are in the log at level debug, every ten seconds: addresses are
nothing for a log that many people read.
"""

from typing import Annotated, Any, NamedTuple

import msgspec
import numpy

import pyfw


class Flow(NamedTuple):
    """What a flow is called, taken from its first frame."""

    protocol: int
    source: str
    destination: str


class FlowBytes(pyfw.Stage):
    """Adds up `length` by `flow`."""

    class Options(msgspec.Struct, frozen=True):
        """How much is remembered, and told."""

        flows_max: Annotated[int, msgspec.Meta(ge=1)] = 100_000
        shown: Annotated[int, msgspec.Meta(ge=0)] = 10

    tick_ms = 10_000.0

    def start(self) -> None:
        """Nothing was seen yet."""
        self.bytes: dict[int, int] = {}
        self.names: dict[int, Flow] = {}
        self.other_bytes = 0

    def process(self, batch: pyfw.FrameBatch) -> None:
        """One pass of numpy; Python sees each flow once a batch, not each frame."""
        flows, first, place = numpy.unique(batch.flow, return_index=True, return_inverse=True)
        # The columns die with the batch, but what numpy made of them is ours.
        sums = numpy.bincount(place, weights=batch.length)
        for flow, i, length in zip(flows.tolist(), first.tolist(), sums.tolist(), strict=True):
            if flow in self.bytes:
                self.bytes[flow] += int(length)
            elif len(self.bytes) < self.options.flows_max:
                self.bytes[flow] = int(length)
                self.names[flow] = _name(batch, i)
            else:
                self.other_bytes += int(length)

    def biggest(self) -> list[tuple[Flow, int]]:
        """The flows with the most bytes, most first."""
        order = sorted(self.bytes, key=self.bytes.__getitem__, reverse=True)
        return [(self.names[flow], self.bytes[flow]) for flow in order[: self.options.shown]]

    def tick(self, now_ns: int) -> None:
        """Tell."""
        for flow, length in self.biggest():
            self.log.debug("flow", bytes=length, **flow._asdict())

    def handover(self) -> Any:
        """A reload forgets nothing."""
        return self.bytes, self.names, self.other_bytes

    def takeover(self, state: Any) -> None:
        """Go on counting."""
        self.bytes, self.names, self.other_bytes = state


def _name(batch: pyfw.FrameBatch, i: int) -> Flow:
    frame = batch[i]
    source, destination = frame.source, frame.destination
    if frame.src_port or frame.dst_port:
        source, destination = f"{source} {frame.src_port}", f"{destination} {frame.dst_port}"
    return Flow(frame.protocol, source, destination)
