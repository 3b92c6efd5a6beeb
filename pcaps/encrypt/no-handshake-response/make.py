"""Five datagrams, and one a hundred seconds later."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import every, udp_run, write_pcap

first = every(1000, udp_run([120] * 5))
last = every(0, udp_run([120], ports=(40001, 443)), start_us=100_000_000)
write_pcap("capture.pcap", first + last)
