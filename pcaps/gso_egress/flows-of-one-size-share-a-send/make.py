"""Four interleaved flows with segments of one length."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import every, in_turn, tcp_run, write_pcap

runs = [tcp_run([1200] * 10, ports=(40000 + i, 443)) for i in range(4)]
write_pcap("capture.pcap", every(2, in_turn(*runs)))
