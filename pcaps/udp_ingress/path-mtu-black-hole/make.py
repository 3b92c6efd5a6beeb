"""Datagrams around the path MTU."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import every, udp_run, write_pcap

write_pcap("capture.pcap", every(100, udp_run([500, 1100, 1168, 1180, 1300] * 4)))
