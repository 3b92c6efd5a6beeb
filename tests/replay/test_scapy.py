"""Scapy reads the pcapng that pyfw writes: every block, packet and checksum on both sides of the cipher."""

from pathlib import Path
from typing import Any

import pytest

from pyfw.replay.collect import CollectedCase, collect
from pyfw.replay.runner import Task, run
from tests.replay.read_pcapng import Packet, packets

pytest.importorskip("scapy")

CASES = [
    # Scapy takes seconds for the thousands of packets in a real capture.
    pytest.param(case, id=name, marks=pytest.mark.long if name.startswith("real/") else ())
    for case in collect([str(Path(__file__).parents[2] / "pcaps")])
    for name in [case.name.rpartition("pcaps/")[2]]
]


@pytest.mark.parametrize("collected", CASES)
def test_scapy_reads_every_packet(collected: CollectedCase, tmp_path: Path) -> None:
    from scapy.utils import RawPcapNgReader

    case = collected.case
    assert case is not None, collected.problem
    file = tmp_path / "out.pcapng"
    done = run(Task(name=case.name, case=case, rule=case.rule, write=str(file), secrets=True))
    assert done.result is not None, done.problem
    written = packets(file.read_bytes())
    with RawPcapNgReader(str(file)) as reader:
        read = [(data, meta) for data, meta in reader]
    assert len(read) == len(written)
    for (data, meta), packet in zip(read, written, strict=True):
        assert data == packet.data
        assert meta.ifname == (b"outer" if packet.is_outer else b"inner")
        assert (meta.tshigh << 32 | meta.tslow) == packet.time_ns
        if packet.is_outer:
            check_outer(packet)
    check_sides(done.result, written)


def check_outer(packet: Packet) -> None:
    """Checks that scapy computes the same lengths and checksums."""
    from scapy.layers.inet import IP, UDP
    from scapy.layers.inet6 import IPv6

    layer = IP if packet.data[0] >> 4 == 4 else IPv6
    read = layer(packet.data)
    rebuilt = read.copy()
    assert bytes(read[UDP].payload) == packet.message
    for part, field in ((IP, "chksum"), (IP, "len"), (IPv6, "plen"), (UDP, "chksum"), (UDP, "len")):
        if part in rebuilt:
            rebuilt[part].delfieldval(field)
    assert bytes(rebuilt) == packet.data


def check_sides(result: dict[str, Any], written: list[Packet]) -> None:
    """Checks that every packet sent is recorded once on the inner side, and its datagram on the outer."""
    inner = [packet for packet in written if not packet.is_outer]
    outer = [packet for packet in written if packet.is_outer]
    left = sum(end["counters"]["outbound"].get("left", 0) for end in result["ends"].values())
    assert len(inner) == left
    assert len({packet.id for packet in inner}) == len(inner)
    injected = {"replayed", "forged"}
    assert {packet.id for packet in inner} == {
        packet.id
        for packet in outer
        if packet.carries_packet and packet.events.isdisjoint(injected)
    }
    assert [packet.time_ns for packet in written] == sorted(packet.time_ns for packet in written)
