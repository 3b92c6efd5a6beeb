"""Packets of five other transports, interleaved."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import every, in_turn, ip_run, payload, write_pcap


def bodies(first):
    """Returns six different payloads."""
    return [first + payload(400 + i % 2, i) for i in range(6)]


sctp = bodies(b"\x13\x88\x17\x70" + bytes(8))
runs = [ip_run(number, bodies(b"\x00\x07\x00\x08")) for number in (136, 33, 89, 253)]
write_pcap("capture.pcap", every(10, in_turn(ip_run(132, sctp), *runs)))
