"""Lengths that grow, then shrink."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import every, udp_run, write_pcap

up = list(range(100, 740, 64))
write_pcap("capture.pcap", every(3, udp_run(up + up[::-1])))
