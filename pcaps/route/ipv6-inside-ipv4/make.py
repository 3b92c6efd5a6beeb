"""A page over IPv6."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import CLIENT6, SERVER6, conversation, write_pcap

page = conversation(300, [1348] * 9 + [77], client=CLIENT6, server=SERVER6)
write_pcap("capture.pcap", page)
