"""Twelve segments across the end of the sequence space."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import every, tcp_run, write_pcap

write_pcap("capture.pcap", every(2, tcp_run([1300] * 12, first_sequence=2**32 - 6001)))
