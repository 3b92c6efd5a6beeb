"""Long and short datagrams to two clients in one drain."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import SERVER, every, in_turn, tcp_run, write_pcap

anna = tcp_run([1200, 1200, 500, 1200, 1200], source=SERVER, destination="10.0.0.2", ports=(443, 1))
bert = tcp_run([700, 700, 700, 1000, 1000], source=SERVER, destination="10.0.0.3", ports=(443, 1))
write_pcap("capture.pcap", every(3, in_turn(anna, bert)))
