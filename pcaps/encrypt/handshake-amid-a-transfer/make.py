"""A flow in each direction, starting at the same time."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import every, in_turn, tcp_run, write_pcap

up = tcp_run([1100] * 20)
down = tcp_run([1100] * 20, reply=True)
write_pcap("capture.pcap", every(700, in_turn(up, down)))
