"""Two transfers of sixty segments, 6 s and 12 s after the tunnel's first packet."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import bursts, every, tcp_run, write_pcap

run = tcp_run([1200] * 121)
packets = every(0, run[:1])
packets += bursts(3, 3000, run[1:61], start_us=6_000_000)
packets += bursts(3, 3000, run[61:], start_us=12_000_000)
write_pcap("capture.pcap", packets)
