"""Datagrams of 4000 bytes in fragments, and small ones of the same flow between them."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import CLIENT, SERVER, every, ip_header, payload, udp_run, write_pcap
from scapy.layers.inet import UDP, fragment


def fragmented(number):
    """Returns the fragments of a datagram of 4000 bytes on a link with an MTU of 1420."""
    ip = ip_header(CLIENT, SERVER, 100 + number, 0)
    ip.flags = 0
    whole = ip / UDP(sport=5000, dport=6000) / payload(4000, number)
    return [bytes(part) for part in fragment(whole, 1400)]


small = udp_run([200] * 4, ports=(5000, 6000))
packets = [small[0]]
for number in range(3):
    packets += [*fragmented(number), small[number + 1]]
write_pcap("capture.pcap", every(10, packets))
