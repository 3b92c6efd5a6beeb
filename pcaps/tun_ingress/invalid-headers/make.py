"""Six valid datagrams, and five packets with invalid headers between them."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import CLIENT6, SERVER6, every, in_turn, udp_run, write_pcap

valid = udp_run([100] * 6)
longer, headless, five = bytearray(valid[0]), bytearray(valid[1]), bytearray(valid[2])
longer[2:4] = (4000).to_bytes(2, "big")
headless[0] = 0x44
five[0] = 0x55
long6 = bytearray(udp_run([100], source=CLIENT6, destination=SERVER6)[0])
long6[4:6] = (900).to_bytes(2, "big")
invalid = [bytes(longer), bytes(headless), bytes(five), bytes(long6), b"\x45"]
write_pcap("capture.pcap", every(10, in_turn(valid, invalid)))
