"""Every filter key of a `[[stages]]` table selects the frames that it describes."""

from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.packet import Raw

import pyfw
from pyfw.config.filter_checks import FILTER_CHECKS
from pyfw.config.settings import read
from pyfw.testing import PEER
from tests.stages.libpcap import needs_libpcap

SYN = IP(src="10.0.0.1", dst="10.1.0.2") / TCP(sport=1000, dport=80, flags="S")
ACK = IP(src="10.1.0.2", dst="10.0.0.1", tos=0b1010_0010) / TCP(sport=80, dport=1000, flags="SA")
DNS = IPv6(src="fd00::1", dst="fd01::2", tc=3) / UDP(sport=2000, dport=53) / Raw(bytes(100))
PING = IP(src="10.0.0.9", dst="10.1.0.9") / ICMP()
PING6 = IPv6(src="fd00::9", dst="fd01::9") / ICMPv6EchoRequest()
PACKETS = [SYN, ACK, DNS, PING, PING6]


class DropsAll(pyfw.Stage):
    """Drops every frame that it sees."""

    def process(self, batch: pyfw.FrameBatch) -> None:
        for i in range(len(batch)):
            batch.drop(i)


CASES: list[tuple[str, list[Any]]] = [
    ('protocol = "tcp"', [SYN, ACK]),
    ('protocol = ["udp", 1, "icmp6"]', [DNS, PING, PING6]),
    ("version = 6", [DNS, PING6]),
    ('source = "10.0.0.0/24"', [SYN, PING]),
    ('destination = ["fd01::/16", "10.1.0.2"]', [SYN, DNS, PING6]),
    ('address = "10.1.0.2/32"', [SYN, ACK]),
    ("src_port = 80", [ACK]),
    ('dst_port = ["50-60", 1000]', [ACK, DNS]),
    ('port = "79-81"', [SYN, ACK]),
    ('length = "100-200"', [DNS]),
    ("segments = 1", PACKETS),
    ('tcp_flags = "S"', [SYN, ACK]),
    ('tcp_flags = "S/SA"', [SYN]),
    ("ecn = [2, 3]", [ACK, DNS]),
    ("dscp = 40", [ACK]),
    ("mark = 0", PACKETS),
    ('mark = "1-4294967295"', []),
    (f'peer = "{PEER}"', PACKETS),
    ('peer = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="', []),
    ('bpf = "udp or icmp"', [DNS, PING]),
    ('protocol = "tcp"\nfilter.dst_port = 80', [SYN]),
]


@pytest.mark.parametrize(
    ("keys", "seen"),
    [pytest.param(*case, marks=needs_libpcap if "bpf" in case[0] else ()) for case in CASES],
)
def test_a_filter_table_selects_what_it_describes(keys: str, seen: list[Any]) -> None:
    settings, problems = read(f'[[stages]]\nuse = "m:C"\nfilter.{keys}', "f")
    assert problems == []
    stage = DropsAll()
    stage.filter = settings.stages[0].filter
    with pyfw.StageTest(stage) as test:
        left = test.inbound(*PACKETS)
    assert left == [bytes(packet) for packet in PACKETS if packet not in seen]


def test_every_filter_key_is_tested() -> None:
    assert {keys.split()[0] for keys, _ in CASES} == set(FILTER_CHECKS)
