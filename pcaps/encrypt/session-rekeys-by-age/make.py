"""A datagram every five seconds."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import every, udp_run, write_pcap

write_pcap("capture.pcap", every(5_000_000, udp_run([120] * 62)))
