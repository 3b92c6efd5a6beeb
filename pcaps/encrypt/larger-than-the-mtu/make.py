"""Datagrams of 1000 to 3000 bytes in one flow."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import every, udp_run, write_pcap

write_pcap("capture.pcap", every(10, udp_run([1000, 1392, 1393, 1500, 3000] * 3)))
