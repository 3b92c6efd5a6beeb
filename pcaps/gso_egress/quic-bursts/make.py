"""Bursts of a QUIC sender with different tails, and one without."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import every, udp_run, write_pcap

lengths = [1252] * 10 + [800] + [1252] * 5 + [31] + [1252] * 8 + [1252] * 3 + [1251]
write_pcap("capture.pcap", every(2, udp_run(lengths, ecn=[2] * len(lengths))))
