"""Runs of a QUIC sender with tails of many lengths."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import every, udp_run, write_pcap

lengths = [n for tail in (1199, 600, 16, 1) for n in [1200] * 6 + [tail]] + [900, 1000]
write_pcap("capture.pcap", every(2, udp_run(lengths)))
