from scapy.layers.inet import IP, TCP, UDP

import pyfw
from examples.no_telnet import NoTelnet

TELNET = IP(dst="10.0.0.2") / TCP(dport=23)
OTHERS = [IP(dst="10.0.0.2") / TCP(dport=22), IP(dst="10.0.0.2") / UDP(dport=23)]


def test_only_telnet_is_dropped_in_both_directions() -> None:
    with pyfw.StageTest(NoTelnet()) as test:
        assert test.inbound(TELNET, *OTHERS) == [bytes(packet) for packet in OTHERS]
        assert test.outbound(*OTHERS, TELNET) == [bytes(packet) for packet in OTHERS]
        assert test.drops == {"telnet": 2}
