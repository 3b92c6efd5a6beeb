"""A bulk transfer and a voice call, interleaved."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import every, in_turn, tcp_run, udp_run, write_pcap

transfer, call = tcp_run([1200] * 16), udp_run([160] * 16, ports=(5004, 5004))
write_pcap("capture.pcap", every(3, in_turn(transfer, call)))
