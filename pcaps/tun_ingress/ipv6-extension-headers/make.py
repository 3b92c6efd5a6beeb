"""IPv6 packets with extension headers between plain ones."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import CLIENT6, SERVER6, every, in_turn, ip_header, payload, udp_run, write_pcap
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
    RouterAlert,
)


def chained(number):
    """Returns a datagram after one of four extension headers."""
    ip = ip_header(CLIENT6, SERVER6, number, 0)
    chains = [
        IPv6ExtHdrHopByHop(options=[RouterAlert()]),
        IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))]),
        IPv6ExtHdrRouting(addresses=["fd00:2::1"]),
        IPv6ExtHdrFragment(id=77, offset=0, m=1),
    ]
    return bytes(ip / chains[number % 4] / UDP(sport=5000, dport=6000) / payload(320, number))


plain = udp_run([320] * 8, source=CLIENT6, destination=SERVER6, ports=(5000, 6000))
write_pcap("capture.pcap", every(10, in_turn(plain, [chained(number) for number in range(8)])))
