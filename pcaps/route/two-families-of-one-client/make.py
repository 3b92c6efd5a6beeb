"""An IPv4 and an IPv6 flow, interleaved, with equal outer lengths."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import CLIENT6, SERVER6, every, in_turn, tcp_run, write_pcap

four = tcp_run([1168] * 10)
six = tcp_run([1148] * 10, source=CLIENT6, destination=SERVER6)
write_pcap("capture.pcap", every(5, in_turn(four, six)))
