"""Encodes IP packets as pcapng blocks (draft-ietf-opsawg-pcapng): one interface, nanoseconds, directions.

Blocks are little-endian. The same packets give the same bytes: neither host nor time of writing is in them.
"""

import struct
from typing import Literal

SNAP_LENGTH_MAX = 262_144
"""MAXIMUM_SNAPLEN of libpcap: readers refuse longer packets."""

_SECTION_HEADER, _INTERFACE, _ENHANCED_PACKET = 0x0A0D_0D0A, 1, 6  # section 11.1
_BYTE_ORDER_MAGIC = 0x1A2B_3C4D  # section 4.1
_LENGTH_UNKNOWN = 0xFFFF_FFFF_FFFF_FFFF
_LINKTYPE_RAW = 101  # packets begin with their IP header
_APPLICATION, _NAME, _RESOLUTION, _FLAGS = 4, 2, 9, 2  # options of sections 4.1, 4.2 and 4.3
_NANOSECONDS = 9
_DIRECTIONS = {"inbound": 1, "outbound": 2}  # epb_flags, section 4.3.1

_PACKET = struct.Struct("<7I")
_LENGTH = struct.Struct("<I")
_FLAGS_AND_END = {
    name: struct.pack("<HHIHH", _FLAGS, 4, flags, 0, 0) for name, flags in _DIRECTIONS.items()
}
_OVERHEAD = _PACKET.size + len(_FLAGS_AND_END["inbound"]) + _LENGTH.size
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")


def header(interface: str, snap_length: int = SNAP_LENGTH_MAX) -> bytes:
    """Returns the blocks at the beginning of a file: section and interface."""
    section = struct.pack("<IHHQ", _BYTE_ORDER_MAGIC, 1, 0, _LENGTH_UNKNOWN)
    section += _option(_APPLICATION, b"pyfw") + _option(0, b"")
    description = struct.pack("<HHI", _LINKTYPE_RAW, 0, snap_length)
    description += _option(_NAME, interface.encode()) + _option(_RESOLUTION, bytes([_NANOSECONDS]))
    return _block(_SECTION_HEADER, section) + _block(_INTERFACE, description + _option(0, b""))


def packet(
    time_ns: int,
    data: bytes | memoryview,
    length: int,
    direction: Literal["inbound", "outbound"],
) -> tuple[bytes, bytes | memoryview, bytes]:
    """Returns the parts of one packet's block, to be joined with those of other packets.

    time_ns: Unix nanoseconds. data: the captured bytes of a packet of `length` bytes.
    """
    captured = len(data)
    padding = _PADDING[captured % 4]
    block = _OVERHEAD + captured + len(padding)
    head = _PACKET.pack(
        _ENHANCED_PACKET, block, 0, time_ns >> 32, time_ns & 0xFFFF_FFFF, captured, length
    )
    return head, data, padding + _FLAGS_AND_END[direction] + _LENGTH.pack(block)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + _PADDING[len(value) % 4]


def _block(kind: int, body: bytes) -> bytes:
    length = _LENGTH.pack(len(body) + 12)
    return _LENGTH.pack(kind) + length + body + length
