"""Reads the pcapng that `pyfw replay -w` writes, without pyfw and scapy."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_ENHANCED_PACKET = 6
_COMMENT, _PACKET_ID = 1, 5


@dataclass(frozen=True)
class Packet:
    """One enhanced packet block."""

    interface: int
    """0 is inner, 1 outer."""
    time_ns: int
    data: bytes
    comment: str
    id: int

    @property
    def is_outer(self) -> bool:
        return self.interface == 1

    @property
    def events(self) -> set[str]:
        """What happened to it on the wire."""
        return set(self.comment.split(", ")) - {""}

    @property
    def message(self) -> bytes:
        """An outer packet's UDP payload."""
        return self.data[(20 if self.data[0] >> 4 == 4 else 40) + 8 :]

    @property
    def carries_packet(self) -> bool:
        """Whether it is a data message but no keepalive (whitepaper §5.4.6)."""
        return self.message[0] == 4 and len(self.message) > 32


def packets(content: bytes) -> list[Packet]:
    """Returns all packets of a file."""
    return [_packet(body) for kind, body, _ in _blocks(content) if kind == _ENHANCED_PACKET]


def only(content: bytes, keep: Callable[[Packet], bool]) -> bytes:
    """Returns the file with only the packets for which `keep` is true."""
    return b"".join(
        block
        for kind, body, block in _blocks(content)
        if kind != _ENHANCED_PACKET or keep(_packet(body))
    )


def _blocks(content: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    at = 0
    while at < len(content):
        kind, length = struct.unpack_from("<II", content, at)
        yield kind, content[at + 8 : at + length - 4], content[at : at + length]
        at += length


def _packet(body: bytes) -> Packet:
    interface, high, low, length, _ = struct.unpack_from("<5I", body)
    at = 20 + length + -length % 4
    comment, number = "", 0
    while at < len(body):
        code, size = struct.unpack_from("<HH", body, at)
        value = body[at + 4 : at + 4 + size]
        if code == _COMMENT:
            comment = value.decode()
        elif code == _PACKET_ID:
            (number,) = struct.unpack("<Q", value)
        at += 4 + size + -size % 4
    return Packet(interface, high << 32 | low, body[20 : 20 + length], comment, number)
