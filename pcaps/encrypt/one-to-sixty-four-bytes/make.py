"""Datagrams with payloads of 1 to 64 bytes."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import every, udp_run, write_pcap

write_pcap("capture.pcap", every(20, udp_run(range(1, 65))))
