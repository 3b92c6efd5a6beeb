import json
from pathlib import Path

from scapy.layers.dns import DNS, DNSQR, DNSRR
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

import pyfw
from examples.dns_log import DnsLog


def question(name: str, kind: str = "A") -> DNS:
    return DNS(rd=1, qd=DNSQR(qname=name, qtype=kind))


def lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_question_is_one_line_and_passes(tmp_path: Path) -> None:
    path = tmp_path / "names.jsonl"
    packets = [
        IP(src="10.0.0.2", dst="192.0.2.53") / UDP(dport=53) / question("example.org"),
        IPv6(src="fd00::2", dst="2001:db8::53") / UDP(dport=53) / question("a.example", "AAAA"),
    ]
    with pyfw.StageTest(DnsLog(file=path)) as test:
        assert test.outbound(*packets) == [bytes(packet) for packet in packets]
        assert test.counters["stages"]["DnsLog"]["own"] == {"questions": 2}
    assert lines(path) == [
        {"from": "10.0.0.2", "name": "example.org.", "type": "A"},
        {"from": "fd00::2", "name": "a.example.", "type": "AAAA"},
    ]
    assert path.stat().st_mode & 0o777 == 0o600


def test_unreadable_packets_pass_and_are_counted(tmp_path: Path) -> None:
    to_server = IP(src="10.0.0.2", dst="192.0.2.53")
    packets = [
        to_server / UDP(dport=53) / Raw(b"\xff" * 40),
        to_server / UDP(dport=53) / Raw(b"x"),
        to_server / UDP(dport=53),
        to_server / UDP(sport=9, dport=53) / DNS(qr=1, an=DNSRR(rrname="example.org")),
    ]
    with pyfw.StageTest(DnsLog(file=tmp_path / "names.jsonl")) as test:
        assert test.outbound(*packets) == [bytes(packet) for packet in packets]
        assert test.counters["stages"]["DnsLog"]["failures"] == 0
        assert test.counters["stages"]["DnsLog"]["own"]["unreadable"] == 4
    assert lines(tmp_path / "names.jsonl") == []


def test_other_packets_never_reach_the_stage(tmp_path: Path) -> None:
    with pyfw.StageTest(DnsLog(file=tmp_path / "names.jsonl")) as test:
        test.outbound(IP() / UDP(sport=1, dport=54), IP() / TCP(dport=53))
        assert test.counters["stages"]["DnsLog"]["calls"] == 0
