"""A flow of 60 segments in each direction at the same time, with acknowledgements."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import every, in_turn, tcp_run, write_pcap

up = tcp_run([1368] * 60)
down = tcp_run([1368] * 60, ports=(41000, 8080), reply=True)
acks = tcp_run([0] * 30, reply=True)
write_pcap("capture.pcap", every(3, in_turn(up, down, acks)))
