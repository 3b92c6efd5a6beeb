"""Flows with some wrong checksums, and UDP without a checksum."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import every, in_turn, tcp_run, udp_run, write_pcap


def corrupt(number, _ip, transport):
    """Sets a wrong checksum in every fourth packet."""
    if number % 4 == 2:
        transport.chksum = 0xBAD


def omit(number, _ip, udp):
    """Sends no checksum (RFC 768)."""
    udp.chksum = 0


runs = (
    tcp_run([500] * 12, edit=corrupt),
    udp_run([500] * 12, edit=corrupt),
    udp_run([500] * 12, ports=(50000, 443), edit=omit),
)
write_pcap("capture.pcap", every(2, in_turn(*runs)))
