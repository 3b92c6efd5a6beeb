"""A small page over one connection, both directions."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import conversation, write_pcap

write_pcap("capture.pcap", conversation(420, [1368] * 11 + [500]))
