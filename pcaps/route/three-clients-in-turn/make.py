"""Interleaved downloads of three clients."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import SERVER, every, in_turn, tcp_run, write_pcap

runs = [
    tcp_run([1200] * 8, source=SERVER, destination=f"10.0.0.{host}", ports=(443, 40000 + host))
    for host in (2, 3, 4)
]
write_pcap("capture.pcap", every(5, in_turn(*runs)))
