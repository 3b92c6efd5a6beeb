"""A flow with every flag that ends a frame."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import every, tcp_run, write_pcap

FLAGS = ["A", "A", "A", "UA", "A", "A", "CA", "A", "A", "EA", "A", "A", "FA", "A", "RA", "A"]
write_pcap("capture.pcap", every(2, tcp_run([800] * len(FLAGS), flags=FLAGS)))
