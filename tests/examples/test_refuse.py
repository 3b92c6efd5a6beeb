from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, IPerror, TCPerror
from scapy.layers.inet6 import ICMPv6DestUnreach, IPerror6, IPv6
from scapy.packet import Raw

import pyfw
from examples.refuse import Refuse

MAIL = IP(src="10.0.0.2", dst="192.0.2.9") / TCP(sport=999, dport=25, flags="S")
WEB = IP(src="10.0.0.2", dst="192.0.2.9") / TCP(sport=999, dport=80, flags="S")


def answers(packets: list[Any], **options: Any) -> tuple[list[bytes], dict[str, int]]:
    """The answers to packets of a peer, and the drops."""
    with pyfw.StageTest(Refuse(**options)) as test:
        assert test.inbound(*packets) == []
        return test.outbound(), test.drops


def test_a_refused_packet_is_answered_by_icmp() -> None:
    with pyfw.StageTest(Refuse()) as test:
        assert test.inbound(MAIL, WEB) == [bytes(WEB)]
        (answer,) = test.outbound()
        assert test.drops == {"answered": 1}
    packet = IP(answer)
    assert (packet.src, packet.dst, packet[ICMP].type, packet[ICMP].code) == (
        "192.0.2.9",
        "10.0.0.2",
        3,
        13,
    )
    assert (packet[IPerror].src, packet[TCPerror].dport) == ("10.0.0.2", 25)
    # scapy computes the same lengths and checksums.
    del packet.len, packet.chksum, packet[ICMP].chksum
    assert bytes(packet) == answer


def test_ipv6_is_answered_by_icmpv6() -> None:
    refused = IPv6(src="fd00::2", dst="2001:db8::9") / TCP(dport=25, flags="S")
    (answer,), _ = answers([refused])
    packet = IPv6(answer)
    assert (packet.src, packet.dst) == ("2001:db8::9", "fd00::2")
    assert (packet[ICMPv6DestUnreach].code, packet[IPerror6].src) == (1, "fd00::2")
    del packet.plen, packet[ICMPv6DestUnreach].cksum
    assert bytes(packet) == answer


@pytest.mark.parametrize(("layer", "longest"), [(IP, 576), (IPv6, 1280)])
def test_an_answer_quotes_as_much_as_allowed(layer: Any, longest: int) -> None:
    addresses = ("10.0.0.2", "192.0.2.9") if layer is IP else ("fd00::2", "2001:db8::9")
    refused = layer(src=addresses[0], dst=addresses[1]) / TCP(dport=25) / Raw(bytes(1300))
    (answer,), _ = answers([refused])
    assert len(answer) == longest


def test_answers_are_limited_per_second() -> None:
    with pyfw.StageTest(Refuse(answers_per_s=2)) as test:
        test.inbound(*[MAIL] * 5)
        assert len(test.outbound()) == 2
        assert test.drops == {"answered": 2, "refused": 3}
        test.now_ns += 1_000_000_000
        test.inbound(MAIL)
        assert len(test.outbound()) == 1


@pytest.mark.parametrize(
    "packet",
    [
        IP(src="10.0.0.2", dst="224.0.0.1") / TCP(dport=25),
        IP(src="10.0.0.2", dst="255.255.255.255") / TCP(dport=25),
        IP(src="0.0.0.0", dst="192.0.2.9") / TCP(dport=25),
        IPv6(src="fd00::2", dst="ff02::1") / TCP(dport=25),
    ],
)
def test_multicast_and_broadcast_are_never_answered(packet: Any) -> None:
    assert answers([packet]) == ([], {"refused": 1})


def test_errors_and_later_fragments_are_never_answered() -> None:
    stage = Refuse()
    stage.filter = {}
    error = IP(src="10.0.0.2", dst="192.0.2.9") / ICMP(type=3, code=1) / bytes(MAIL)
    error6 = IPv6(src="fd00::2", dst="fd00::9") / ICMPv6DestUnreach() / bytes(40)
    fragment = IP(src="10.0.0.2", dst="192.0.2.9", frag=3, proto=17) / Raw(bytes(30))
    question = IP(src="10.0.0.2", dst="192.0.2.9") / ICMP(type=8)
    with pyfw.StageTest(stage) as test:
        test.inbound(error, error6, fragment, question)
        assert len(test.outbound()) == 1
        assert test.drops == {"answered": 1, "refused": 3}
