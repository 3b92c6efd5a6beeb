"""Two flows of one pair of hosts, one of another, and fragments of the first pair."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import CLIENT, SERVER, every, in_turn, ip_header, payload, tcp_run, write_pcap

own = [tcp_run([800] * 12, ports=(40000 + i, 443)) for i in range(2)]
other = tcp_run([800] * 12, destination="10.0.1.9")
packets = in_turn(*own, other)
for place in (27, 18, 9):
    ip = ip_header(CLIENT, SERVER, 900 + place, 0)
    ip.flags = "MF"
    packets.insert(place, bytes(ip / payload(64, place)))
write_pcap("capture.pcap", every(2, packets))
