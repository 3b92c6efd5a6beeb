"""Refuse: a firewall that drops what its filter selects and sends the sender an ICMP error.

    [[stages]]
    use = "examples/refuse.py:Refuse"
    filter = "tcp port 25"

Drops: "answered", or "refused" if no error may be sent: for ICMP errors, fragments and broadcasts (RFC 1122
section 3.2.2), and beyond `answers_per_s`.
"""

import ipaddress
import struct
from typing import Annotated

import msgspec

import pyfw

_ICMP, _ICMP6 = 1, 58
_QUOTED_V4 = 576 - 20 - 8  # RFC 1812 section 4.3.2.3: the whole message is at most 576 B
_QUOTED_V6 = 1280 - 40 - 8  # RFC 4443 section 3.1: at most the smallest MTU
_ICMP_ERRORS = (3, 4, 5, 11, 12)  # RFC 1122 section 3.2.2
_SECOND_NS = 1_000_000_000


class Refuse(pyfw.Stage):
    """Answers each frame with "communication administratively prohibited"."""

    class Options(msgspec.Struct, frozen=True):
        """How often errors are sent."""

        answers_per_s: Annotated[int, msgspec.Meta(ge=0)] = 100

    filter = {"protocol": "tcp", "dst_port": 25}

    def start(self) -> None:
        """Starts with no answers."""
        self._second = 0
        self._answers = 0

    def process(self, batch: pyfw.FrameBatch) -> None:
        """Refuses every frame, since the filter has selected them."""
        # The batch's clock, not the machine's, so that every replay gives the same answers.
        second = batch.now_ns // _SECOND_NS
        if second != self._second:
            self._second, self._answers = second, 0
        for i in range(len(batch)):
            packet = bytes(batch.data(i)[:_QUOTED_V6])
            if self._answers < self.options.answers_per_s and _may_be_answered(packet):
                batch.answer(i, _prohibited(packet))
                self._answers += 1
            else:
                batch.drop(i, "refused")


def _prohibited(packet: bytes) -> bytes:
    """Builds the ICMP error for a packet. pyfw fills in lengths and checksums."""
    if packet[0] >> 4 == 4:
        source, destination = packet[12:16], packet[16:20]
        header = struct.pack(">BxHxxxxBBxx", 0x45, 0, 64, _ICMP) + destination + source
        # RFC 1812 section 5.2.7.1: type 3, code 13.
        return header + struct.pack(">BBHxxxx", 3, 13, 0) + packet[:_QUOTED_V4]
    source, destination = packet[8:24], packet[24:40]
    header = struct.pack(">IHBB", 6 << 28, 0, _ICMP6, 64) + destination + source
    # RFC 4443 section 3.1: type 1, code 1.
    return header + struct.pack(">BBHxxxx", 1, 1, 0) + packet


def _may_be_answered(packet: bytes) -> bool:
    if packet[0] >> 4 == 4:
        header_length = (packet[0] & 0x0F) * 4
        is_later_fragment = bool(struct.unpack_from(">H", packet, 6)[0] & 0x1FFF)
        kind = packet[header_length : header_length + 1]
        is_icmp_error = packet[9] == _ICMP and (not kind or kind[0] in _ICMP_ERRORS)
        addresses = packet[12:16], packet[16:20]
    else:
        is_later_fragment = False
        # Types below 128 are errors (RFC 4443 section 2.1).
        is_icmp_error = packet[6] == _ICMP6 and packet[40:41] < b"\x80"
        addresses = packet[8:24], packet[24:40]
    source, destination = map(ipaddress.ip_address, addresses)
    is_unicast = not (
        source.is_multicast
        or source.is_unspecified
        or destination.is_multicast
        or destination == ipaddress.IPv4Address(0xFFFF_FFFF)
    )
    return is_unicast and not is_later_fragment and not is_icmp_error
