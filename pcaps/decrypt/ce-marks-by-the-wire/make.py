"""An ECN-capable flow and one that is not, interleaved."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import bursts, in_turn, tcp_run, write_pcap

capable = tcp_run([1200] * 30, ecn=[2] * 30)
plain = tcp_run([1200] * 30, ports=(40001, 443))
write_pcap("capture.pcap", bursts(6, 1000, in_turn(capable, plain)))
