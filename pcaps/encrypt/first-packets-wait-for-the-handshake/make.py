"""A flow whose first packet starts the handshake."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import every, tcp_run, write_pcap

write_pcap("capture.pcap", every(2000, tcp_run([900] * 20)))
