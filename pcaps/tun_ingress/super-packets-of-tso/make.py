"""A hundred full segments of one flow in a burst."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import every, tcp_run, write_pcap

write_pcap("capture.pcap", every(1, tcp_run([1368] * 100)))
