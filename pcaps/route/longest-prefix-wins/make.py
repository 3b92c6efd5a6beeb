"""Datagrams to hosts in a network and in a part of it, and replies."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import SERVER, every, in_turn, udp_run, write_pcap

hosts = ["10.0.0.5", "10.0.0.130", "10.0.0.127", "10.0.0.128", "10.0.0.255"]
there = [udp_run([300] * 3, source=SERVER, destination=host, ports=(53, 5353)) for host in hosts]
back = [udp_run([80] * 3, source=host, destination=SERVER, ports=(5353, 53)) for host in hosts]
write_pcap("capture.pcap", every(20, in_turn(*there, *back)))
