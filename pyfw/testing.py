"""StageTest: runs packets through stages in a unit test, without a tunnel, on a clock that the test sets.

    def test_telnet_is_refused() -> None:
        with pyfw.StageTest(NoTelnet()) as test:
            assert test.inbound(telnet_packet) == []
            assert test.drops == {"telnet": 1}

Packets are bytes from the IP header on, or scapy packets. What leaves comes back as bytes, a frame of several
segments as its segments.
"""

from types import TracebackType
from typing import Any, Self

from pyfw._native import StageChain
from pyfw.stage import Stage
from pyfw.stages.stage_set import StageSet

MTU = 1420
PEER = "cGVlciBvZiBhIHRyaWFsLCAzMiBieXRlcyBsb25nISE="
"""Default public key of the peer that packets come from or go to."""


class StageTest:
    """A context in which stages run. They are started on entry and stopped on exit.

    now_ns: boot time at which packets arrive; set it to advance the clock.
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
        """The chain that runs the stages."""
        return self._set.chain

    def inbound(self, *packets: Any, segment_size: int = 0, peer: str = PEER) -> list[bytes]:
        """Feeds packets from a peer in one batch. Returns what leaves towards the TUN, emitted frames first.

        segment_size: payload bytes per segment; a TCP or UDP packet with more becomes a frame of several
        segments. Raises ValueError for bytes that are not an IP packet.
        """
        return self._feed(packets, "inbound", segment_size, peer)

    def outbound(self, *packets: Any, segment_size: int = 0, peer: str = PEER) -> list[bytes]:
        """Like `inbound`, but from the TUN. Returns what leaves towards encryption."""
        return self._feed(packets, "outbound", segment_size, peer)

    def tick(self, now_ns: int | None = None) -> None:
        """Advances the clock to now_ns, with each tick that stages requested at its time."""
        until_ns = self.now_ns if now_ns is None else now_ns
        while (due_ns := self.chain.due_ns()) is not None and due_ns <= until_ns:
            self.now_ns = max(self.now_ns, due_ns)
            self.chain.try_tick(self.now_ns)
        self.now_ns = until_ns

    @property
    def drops(self) -> dict[str, int]:
        """Segments dropped so far by all stages, by reason."""
        drops: dict[str, int] = {}
        for counts in self.counters["stages"].values():
            for reason, segments in counts["drops"].items():
                drops[reason] = drops.get(reason, 0) + segments
        return drops

    @property
    def counters(self) -> dict[str, Any]:
        """All counters, as under `stages` in pyfw.Tunnel.counters."""
        return self._set.counters().to_dict()

    def notices(self) -> list[dict[str, Any]]:
        """What a daemon would have logged since the last call, such as tracebacks."""
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
