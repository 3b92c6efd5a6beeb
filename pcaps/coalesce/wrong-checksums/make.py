"""Flows in which some checksums are wrong, and UDP without one."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import every, in_turn, tcp_run, udp_run, write_pcap


def spoil(number, _ip, transport):
    """Every fourth is wrong."""
    if number % 4 == 2:
        transport.chksum = 0xBAD


def leave_out(number, _ip, udp):
    """RFC 768: none."""
    udp.chksum = 0


runs = (
    tcp_run([500] * 12, shape=spoil),
    udp_run([500] * 12, shape=spoil),
    udp_run([500] * 12, ports=(50000, 443), shape=leave_out),
)
write_pcap("capture.pcap", every(2, in_turn(*runs)))
