"""Datagrams in tagged Ethernet frames, an ARP request and an LLDP frame."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import every, udp_run, write_pcap

SOURCE, TARGET = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")


def framed(number, packet):
    """Adds an Ethernet header with zero, one or two VLAN tags."""
    tags = b"\x81\x00\x00\x07" * (number % 3)
    return TARGET + SOURCE + tags + b"\x08\x00" + packet


frames = [framed(number, packet) for number, packet in enumerate(udp_run([500] * 9))]
frames.insert(3, b"\xff" * 6 + SOURCE + b"\x08\x06" + bytes(46))
frames.insert(7, bytes.fromhex("0180c200000e") + SOURCE + b"\x88\xcc" + bytes(46))
timed = [(time_ns + 7, frame) for time_ns, frame in every(10, frames)]
write_pcap("capture.pcap.gz", timed, link=1, nanoseconds=True, order=">")
