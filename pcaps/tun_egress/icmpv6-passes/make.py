"""ICMPv6 echo requests, an error and a neighbour solicitation."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import CLIENT6, SERVER6, every, ip_header, payload, write_pcap
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6ND_NS, ICMPv6PacketTooBig


def packet(body, destination=SERVER6):
    """Returns a packet from the client."""
    return bytes(ip_header(CLIENT6, destination, 0, 0) / body)


packets = [packet(ICMPv6EchoRequest(id=9, seq=i, data=payload(100, i))) for i in range(6)]
packets.insert(3, packet(ICMPv6PacketTooBig(mtu=1280) / packets[0][:100]))
packets.insert(5, packet(ICMPv6ND_NS(tgt=SERVER6), "ff02::1:ff00:1"))
write_pcap("capture.pcap", every(100, packets))
