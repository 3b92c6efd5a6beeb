"""A StageTest that asserts conservation: entered + created = left + dropped + held."""

import struct
from types import TracebackType
from typing import Any

import pyfw
from pyfw.config.stages import StageConfig
from pyfw.stages.stage_set import StageSet


class ConservationTest(pyfw.StageTest):
    """Counts what enters and leaves, and asserts on exit that nothing vanished."""

    def __init__(self, *stages: pyfw.Stage, now_ns: int = 1_000_000_000, **keys: Any) -> None:
        """keys: of `[[stages]]`, for all of them."""
        super().__init__(*stages, now_ns=now_ns)
        configs = [StageConfig(use=type(stage).__name__, **keys) for stage in stages]
        self._set = StageSet(stages, configs)
        self.entered = 0
        self.left = 0
        self.names = [stage.name for stage in stages]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.assert_conserved()
        finally:
            super().__exit__(kind, error, trace)

    def assert_conserved(self) -> None:
        """Asserts conservation once everything that is pending has left."""
        self.inbound()
        self.outbound()
        self.inbound()  # what the outbound call sent in the other direction
        rows = self.counters["stages"].values()
        created = sum(row["created"] for row in rows)
        dropped = sum(sum(row["drops"].values()) for row in rows)
        held = sum(row["held_segments"] for row in rows)
        assert self.entered + created == self.left + dropped + held, self.counters

    def change(self, *stages: pyfw.Stage) -> None:
        """Replaces the stages."""
        self._set.change(stages)

    def slot_counters(self, index: int = 0) -> Any:
        """Returns a function that reads a stage's counters, also after the stage is removed."""
        return self._set._running[index].slot.counters

    def forget_counts(self) -> None:
        """Skips the final check, because a removed stage took its counters along."""
        self.entered = self.left = 0

    def _feed(
        self, packets: tuple[Any, ...], towards: str, segment_size: int, peer: str
    ) -> list[bytes]:
        left = super()._feed(packets, towards, segment_size, peer)
        self.entered += sum(segments(bytes(packet), segment_size) for packet in packets)
        self.left += len(left)
        return left

    @property
    def counts(self) -> dict[str, Any]:
        """The first stage's counters."""
        counts: dict[str, Any] = self.counters["stages"][self.names[0]]
        return counts


def make_packet(number: int, length: int = 40, port: int = 7) -> bytes:
    """A UDP packet from the peer whose payload is a number and zeros. Different ports are different flows."""
    payload = struct.pack("!I", number) + bytes(length - 32)
    udp = struct.pack("!4H", port, 9, 8 + len(payload), 0)
    addresses = bytes((10, 0, 0, 2)) + bytes((192, 0, 2, 9))
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 28 + len(payload), 0, 0x4000, 64, 17, 0) + addresses
    total = sum(struct.unpack("!10H", ip))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = struct.pack("!H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF)
    return ip[:10] + checksum + ip[12:] + udp + payload


def make_packets(count: int, **fields: int) -> list[bytes]:
    """The packets 0 to count - 1."""
    return [make_packet(number, **fields) for number in range(count)]


def numbers(packets: list[bytes]) -> list[int]:
    """The numbers of packets."""
    return [int.from_bytes(packet[28:32], "big") for packet in packets]


def segments(packet: bytes, size: int) -> int:
    """How many segments a UDP packet over IPv4 is fed as."""
    payload = len(packet) - 28
    return -(-payload // size) if size and payload > size else 1
