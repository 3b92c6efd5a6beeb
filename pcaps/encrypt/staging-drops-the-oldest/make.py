"""A hundred and fifty datagrams before the handshake can complete."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import every, udp_run, write_pcap

write_pcap("capture.pcap", every(10, udp_run([64] * 150)))
