"""FlowBytes: counts bytes per flow with numpy, on whole columns.

    [[stages]]
    use = "examples/flow_bytes.py:FlowBytes"
    options = { flows_max = 10_000 }

Memory is bounded by `flows_max`; bytes of further flows are counted together. Every ten seconds the largest
flows are logged at level debug, because addresses do not belong in a log that many people read.
"""

from typing import Annotated, Any, NamedTuple

import msgspec
import numpy

import pyfw


class Flow(NamedTuple):
    """The protocol and endpoints of a flow."""

    protocol: int
    source: str
    destination: str


class FlowBytes(pyfw.Stage):
    """Sums up `length` per `flow`."""

    class Options(msgspec.Struct, frozen=True):
        """How many flows are counted, and how many are logged."""

        flows_max: Annotated[int, msgspec.Meta(ge=1)] = 100_000
        shown: Annotated[int, msgspec.Meta(ge=0)] = 10

    tick_ms = 10_000.0

    def start(self) -> None:
        """Starts with no flows."""
        self.bytes: dict[int, int] = {}
        self.flows: dict[int, Flow] = {}
        self.other_bytes = 0

    def process(self, batch: pyfw.FrameBatch) -> None:
        """Sums up in numpy, so that Python runs once per flow of the batch instead of once per frame."""
        flows, first, index = numpy.unique(batch.flow, return_index=True, return_inverse=True)
        sums = numpy.bincount(index, weights=batch.length)
        for flow, i, length in zip(flows.tolist(), first.tolist(), sums.tolist(), strict=True):
            if flow in self.bytes:
                self.bytes[flow] += int(length)
            elif len(self.bytes) < self.options.flows_max:
                self.bytes[flow] = int(length)
                self.flows[flow] = _flow(batch[i])
            else:
                self.other_bytes += int(length)

    def largest(self) -> list[tuple[Flow, int]]:
        """The flows with the most bytes, largest first."""
        order = sorted(self.bytes, key=self.bytes.__getitem__, reverse=True)
        return [(self.flows[flow], self.bytes[flow]) for flow in order[: self.options.shown]]

    def tick(self, now_ns: int) -> None:
        """Logs the largest flows."""
        for flow, length in self.largest():
            self.log.debug("flow.counted", bytes=length, **flow._asdict())

    def handover(self) -> Any:
        """Hands the counts to the next version at a reload."""
        return self.bytes, self.flows, self.other_bytes

    def takeover(self, state: Any) -> None:
        """Continues with the previous version's counts."""
        self.bytes, self.flows, self.other_bytes = state


def _flow(frame: pyfw.Frame) -> Flow:
    source, destination = frame.source, frame.destination
    if frame.src_port or frame.dst_port:
        source, destination = f"{source} {frame.src_port}", f"{destination} {frame.dst_port}"
    return Flow(frame.protocol, source, destination)
