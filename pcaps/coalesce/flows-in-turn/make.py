"""Six flows of both protocols in turn."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import every, in_turn, tcp_run, udp_run, write_pcap

tcp = [tcp_run([1000] * 8, ports=(40000 + i, 443)) for i in range(4)]
udp = [udp_run([1000] * 8, ports=(50000 + i, 443)) for i in range(2)]
write_pcap("capture.pcap", every(2, in_turn(*tcp, *udp)))
