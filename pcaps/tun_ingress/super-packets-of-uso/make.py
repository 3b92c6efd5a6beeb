"""Four runs of a QUIC sender: nine full datagrams and a shorter one."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import bursts, udp_run, write_pcap

write_pcap("capture.pcap", bursts(10, 1000, udp_run(([1200] * 9 + [311]) * 4)))
