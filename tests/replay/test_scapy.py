"""Scapy reads what pyfw wrote: every block, every packet, every checksum, both sides of the cipher alike."""

from pathlib import Path
from typing import Any

import pytest

from pyfw.replay.find import Found, find
from pyfw.replay.runner import Task, run
from tests.replay.record import Packet, packets

pytest.importorskip("scapy")

CASES = find([str(Path(__file__).parents[2] / "pcaps")])


@pytest.mark.parametrize("found", CASES, ids=lambda found: found.name.rpartition("pcaps/")[2])
def test_scapy_reads_every_packet(found: Found, tmp_path: Path) -> None:
    from scapy.utils import RawPcapNgReader

    assert found.case is not None, found.problem
    file = tmp_path / "out.pcapng"
    task = Task(
        name=found.name, case=found.case, rule=found.case.rule, write=str(file), secrets=True
    )
    judged = run(task)
    assert judged.result is not None, judged.problem
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
    check_sides(judged.result, written)


def check_outer(packet: Packet) -> None:
    """An IP packet with a UDP datagram of its length, and checksums that scapy would give it."""
    from scapy.layers.inet import IP, UDP
    from scapy.layers.inet6 import IPv6

    layer = IP if packet.data[0] >> 4 == 4 else IPv6
    read = layer(packet.data)
    again = read.copy()
    assert bytes(read[UDP].payload) == packet.message
    for part, field in ((IP, "chksum"), (IP, "len"), (IPv6, "plen"), (UDP, "chksum"), (UDP, "len")):
        if part in again:
            again[part].delfieldval(field)
    assert bytes(again) == packet.data


def check_sides(result: dict[str, Any], written: list[Packet]) -> None:
    """What was sent is on both sides, once inside; what the wire made of it is outside."""
    inner = [packet for packet in written if not packet.is_outer]
    outer = [packet for packet in written if packet.is_outer]
    left = sum(end["counters"]["outbound"].get("left", 0) for end in result["ends"].values())
    assert len(inner) == left
    assert len({packet.id for packet in inner}) == len(inner)
    own = {"replayed", "forged"}
    assert {packet.id for packet in inner} == {
        packet.id for packet in outer if packet.carries_packet and packet.fates.isdisjoint(own)
    }
    assert [packet.time_ns for packet in written] == sorted(packet.time_ns for packet in written)
