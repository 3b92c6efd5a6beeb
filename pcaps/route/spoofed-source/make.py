"""Packets to the client from the gateway's network, and from other hosts."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import CLIENT, SERVER, every, in_turn, udp_run, write_pcap

own = udp_run([400] * 5, source=SERVER, destination=CLIENT)
spoofed = udp_run([400] * 5, source="198.51.100.66", destination=CLIENT)
write_pcap("capture.pcap", every(10, in_turn(own, spoofed)))
