"""A flow in each direction for 60 ms."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import every, in_turn, tcp_run, write_pcap

up = tcp_run([600] * 30)
down = tcp_run([1200] * 30, reply=True)
write_pcap("capture.pcap", every(1000, in_turn(up, down)))
