"""StageTest: a stage, and packets through it by hand. No tunnel, no root, no clock but yours.

    def test_telnet_is_refused() -> None:
        with pyfw.StageTest(NoTelnet()) as test:
            assert test.inbound(telnet_packet) == []
            assert test.drops == {"telnet": 1}

In: packets, as bytes from the IP header on or as scapy packets. Out: those that leave the stage, complete
and one by one; a frame of several segments as its segments. Order: as they leave.
"""

from types import TracebackType
from typing import Any, Self

from pyfw._native import StageChain
from pyfw.stage import Stage
from pyfw.stages.stage_set import StageSet

MTU = 1420
PEER = "cGVlciBvZiBhIHRyaWFsLCAzMiBieXRlcyBsb25nISE="
"""The public key of the peer that all packets come from or go to, unless another one is given."""


class StageTest:
    """Stages in a chain of their own, started for as long as the context lasts.

    now_ns: boot time at which packets arrive; yours to change.
    """

    def __init__(self, *stages: Stage, now_ns: int = 1_000_000_000, mtu: int = MTU) -> None:
        self._set = StageSet(stages)
        self.now_ns = now_ns
        self.mtu = mtu

    def __enter__(self) -> Self:
        self._set.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._set.stop()

    @property
    def chain(self) -> StageChain:
        """The chain itself."""
        return self._set.chain

    def inbound(self, *packets: Any, segment_size: int = 0, peer: str = PEER) -> list[bytes]:
        """Feeds packets as they come from a peer, in one batch. Returns what goes on to the TUN.

        segment_size: payload bytes of each segment; a TCP or UDP packet with more is a frame of several. What
        stages emitted before comes first. Raises ValueError for what is no IP packet.
        """
        return self._feed(packets, "inbound", segment_size, peer)

    def outbound(self, *packets: Any, segment_size: int = 0, peer: str = PEER) -> list[bytes]:
        """The same from the TUN; returns what goes on to be encrypted."""
        return self._feed(packets, "outbound", segment_size, peer)

    def tick(self, now_ns: int | None = None) -> None:
        """Lets time pass up to now_ns: each tick that stages asked for, at its time."""
        until_ns = self.now_ns if now_ns is None else now_ns
        while (due_ns := self.chain.due_ns()) is not None and due_ns <= until_ns:
            self.now_ns = max(self.now_ns, due_ns)
            self.chain.try_tick(self.now_ns)
        self.now_ns = until_ns

    @property
    def drops(self) -> dict[str, int]:
        """Segments dropped so far, by reason, of all stages together."""
        found: dict[str, int] = {}
        for counts in self.counters["stages"].values():
            for reason, segments in counts["drops"].items():
                found[reason] = found.get(reason, 0) + segments
        return found

    @property
    def counters(self) -> dict[str, Any]:
        """Everything that was counted; see pyfw.Tunnel.counters."""
        return self._set.counters().to_dict()

    def notices(self) -> list[dict[str, Any]]:
        """What a daemon would have logged since the last call: exceptions with their tracebacks."""
        return self.chain.notices()

    def _feed(
        self, packets: tuple[Any, ...], towards: str, segment_size: int, peer: str
    ) -> list[bytes]:
        left = self.chain.try_packets(
            list(packets),
            towards=towards,
            now_ns=self.now_ns,
            segment_size=segment_size,
            mtu=self.mtu,
            peer=peer,
        )
        return [bytes(packet) for packet in left]
