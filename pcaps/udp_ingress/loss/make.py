"""A hundred and twenty segments, six per millisecond."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import bursts, tcp_run, write_pcap

write_pcap("capture.pcap", bursts(6, 1000, tcp_run([1200] * 120)))
