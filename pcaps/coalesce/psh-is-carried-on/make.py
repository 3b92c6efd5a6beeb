"""A flow with PSH on every fifth segment."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import every, tcp_run, write_pcap

flags = ["PA" if number % 5 == 4 else "A" for number in range(30)]
write_pcap("capture.pcap", every(2, tcp_run([1000] * 30, flags=flags)))
