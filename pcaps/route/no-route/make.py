"""A download, and packets from the same server to unknown hosts."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import CLIENT, SERVER, every, in_turn, tcp_run, udp_run, write_pcap

run = tcp_run([1200] * 6, source=SERVER, destination=CLIENT, ports=(443, 40000))
unrouted = [
    packet
    for host in ("10.0.0.9", "203.0.113.7", "255.255.255.255")
    for packet in udp_run([90] * 2, source=SERVER, destination=host)
]
write_pcap("capture.pcap", every(10, in_turn(run, unrouted)))
