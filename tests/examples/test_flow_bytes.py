from collections.abc import Sequence
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Raw
from structlog.testing import capture_logs

import pyfw

pytest.importorskip("numpy")

from examples.flow_bytes import Flow, FlowBytes

WEB = IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1000, dport=80) / Raw(bytes(60))
DNS = IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=53, dport=53) / Raw(bytes(72))
REPLY = IP(src="10.0.0.2", dst="10.0.0.1") / TCP(sport=80, dport=1000)
PING = IP(src="10.0.0.1", dst="10.0.0.2") / ICMP()


def raw(packets: Sequence[Any]) -> list[bytes]:
    return [bytes(packet) for packet in packets]


def test_bytes_are_counted_per_flow_and_all_packets_pass() -> None:
    stage = FlowBytes()
    with pyfw.StageTest(stage) as test:
        assert test.inbound(WEB, DNS, WEB, PING) == raw([WEB, DNS, WEB, PING])
        test.inbound(WEB)
        test.outbound(REPLY)
    assert stage.largest() == [
        (Flow(6, "10.0.0.1 1000", "10.0.0.2 80"), 300),
        (Flow(17, "10.0.0.1 53", "10.0.0.2 53"), 100),
        (Flow(6, "10.0.0.2 80", "10.0.0.1 1000"), 40),
        (Flow(1, "10.0.0.1", "10.0.0.2"), 28),
    ]


def test_flows_beyond_flows_max_are_counted_together() -> None:
    stage = FlowBytes(flows_max=1)
    with pyfw.StageTest(stage) as test:
        test.inbound(WEB)
        test.inbound(WEB, DNS, PING)
    assert [length for _, length in stage.largest()] == [200]
    assert stage.other_bytes == 128


def test_a_super_packet_counts_in_full() -> None:
    stage = FlowBytes()
    with pyfw.StageTest(stage) as test:
        big = IP(src="10.0.0.1", dst="10.0.0.2") / TCP(flags="A") / Raw(bytes(60_000))
        assert len(test.inbound(big, segment_size=1000)) == 60
    assert [length for _, length in stage.largest()] == [60_040]


def test_the_largest_flows_are_logged_every_ten_seconds() -> None:
    with capture_logs() as logs, pyfw.StageTest(FlowBytes(shown=1)) as test:
        test.tick()  # the first tick is due at once
        test.inbound(WEB, DNS, WEB)
        test.tick(test.now_ns + 10_000_000_000)
    assert [(log["log_level"], log["bytes"], log["destination"]) for log in logs] == [
        ("debug", 200, "10.0.0.2 80")
    ]


def test_a_reload_keeps_the_counts() -> None:
    old, new = FlowBytes(), FlowBytes()
    with pyfw.StageTest(old) as test:
        test.inbound(WEB)
    with pyfw.StageTest(new) as test:
        new.takeover(old.handover())
        test.inbound(WEB)
    assert [length for _, length in new.largest()] == [200]
