"""A hundred and twenty full segments over IPv6."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import CLIENT6, SERVER6, every, tcp_run, write_pcap

run = tcp_run([1348] * 120, source=CLIENT6, destination=SERVER6)
write_pcap("capture.pcap", every(1, run))
