"""Finds the source address of a capture's first IP packet, which is the client if a case names no ends.

It reports no errors: the reader in Rust does, with their offset.
"""

import ipaddress
import struct
import zlib
from collections.abc import Iterator

HEAD_BYTES = 256 * 1024
"""How much of a capture is searched."""

# tcpdump.org/linktypes.html: bytes before the IP header, and the offset of the EtherType in them.
_LINKS: dict[int, tuple[int, int | None]] = {
    **dict.fromkeys((12, 14, 101, 228, 229), (0, None)),  # raw IP
    **dict.fromkeys((0, 108), (4, None)),  # BSD loopback
    1: (14, 12),  # Ethernet
    113: (16, 14),  # Linux cooked, v1 and v2
    276: (20, 0),
}
_VLAN_TYPES = (0x8100, 0x88A8)
_PCAP = {
    b"\xd4\xc3\xb2\xa1": "<",
    b"\xa1\xb2\xc3\xd4": ">",
    b"\x4d\x3c\xb2\xa1": "<",
    b"\xa1\xb2\x3c\x4d": ">",
}


def first_source(head: bytes) -> str | None:
    """Returns the address from the first bytes of a capture, plain or gzip; None if there is none."""
    if head[:2] == b"\x1f\x8b":
        try:
            head = zlib.decompressobj(31).decompress(head, HEAD_BYTES)
        except zlib.error:
            return None
    try:
        packets = _pcapng(head) if head[:4] == b"\x0a\x0d\x0d\x0a" else _pcap(head)
        for link, packet in packets:
            if source := _source(link, packet):
                return source
    except (struct.error, IndexError):
        pass  # no complete packet
    return None


def _pcap(head: bytes) -> Iterator[tuple[int, bytes]]:
    order = _PCAP.get(head[:4])
    if order is None:
        return
    link = struct.unpack_from(f"{order}I", head, 20)[0] & 0x0FFF_FFFF
    at = 24
    while True:
        length = struct.unpack_from(f"{order}I", head, at + 8)[0]
        yield link, head[at + 16 : at + 16 + length]
        at += 16 + length


def _pcapng(head: bytes) -> Iterator[tuple[int, bytes]]:
    order, links, at = "<", [0], 0
    while True:
        kind = struct.unpack_from(f"{order}I", head, at)[0]
        if kind == 0x0A0D_0D0A:
            order = "<" if head[at + 8 : at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
            links = []
        length = struct.unpack_from(f"{order}I", head, at + 4)[0]
        if kind == 1:
            links.append(struct.unpack_from(f"{order}H", head, at + 8)[0])
        elif kind == 6:
            interface, _, _, captured = struct.unpack_from(f"{order}4I", head, at + 8)
            yield links[interface], head[at + 28 : at + 28 + captured]
        elif kind == 3:
            yield links[0], head[at + 12 : at + length - 4]
        if length < 12:
            return
        at += length


def _source(link: int, packet: bytes) -> str | None:
    if link not in _LINKS:
        return None
    skip, type_at = _LINKS[link]
    if type_at is not None:
        while struct.unpack_from(">H", packet, type_at)[0] in _VLAN_TYPES and link == 1:
            skip, type_at = skip + 4, type_at + 4
        if struct.unpack_from(">H", packet, type_at)[0] not in (0x0800, 0x86DD):
            return None
    packet = packet[skip:]
    version = packet[0] >> 4
    if version == 4 and len(packet) >= 20:
        return str(ipaddress.IPv4Address(packet[12:16]))
    if version == 6 and len(packet) >= 40:
        return str(ipaddress.IPv6Address(packet[8:24]))
    return None
