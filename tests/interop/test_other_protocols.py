"""Packets that are neither TCP nor UDP, or are malformed, pass unchanged."""

import sys
from pathlib import Path
from typing import Any

import pytest

from lab import TUNNEL, Pair

scapy = pytest.importorskip("scapy.all", reason="scapy builds these packets")
sctp = pytest.importorskip("scapy.layers.sctp")
ipsec = pytest.importorskip("scapy.layers.ipsec")
vxlan = pytest.importorskip("scapy.layers.vxlan")

_SCRIPT = [sys.executable, "-P", str(Path(__file__).with_name("raw_packets.py"))]


def ip(version: int) -> Any:
    """Returns a header from client to gateway."""
    if version == 6:
        return scapy.IPv6(src=TUNNEL["client"].v6, dst=TUNNEL["gateway"].v6, hlim=7)
    return scapy.IP(src=TUNNEL["client"].v4, dst=TUNNEL["gateway"].v4, id=4711, ttl=7)


def payload(version: int, kind: str) -> Any:
    """Returns the payload of a packet."""
    inner = scapy.Ether() / scapy.IP(src="10.1.1.1", dst="10.1.1.2") / scapy.ICMP() / b"inside"
    match kind:
        case "esp":
            return ipsec.ESP(spi=0x1234, seq=1, data=bytes(range(200)))
        case "ah":
            return ipsec.AH(spi=0x1234, seq=1, icv=bytes(12)) / scapy.UDP() / b"signed"
        case "sctp":
            return sctp.SCTP(sport=1, dport=2) / sctp.SCTPChunkData(data=b"chunk")
        case "gre":
            return scapy.GRE() / scapy.IP(src="10.1.1.1", dst="10.1.1.2") / scapy.ICMP()
        case "vxlan":
            return scapy.UDP(sport=4789, dport=4789) / vxlan.VXLAN(vni=42) / inner
        case "vxlan without checksum":
            return scapy.UDP(sport=4790, dport=4789, chksum=0) / vxlan.VXLAN(vni=42) / inner
        case "udp with a wrong checksum":
            return scapy.UDP(sport=9, dport=9, chksum=0xBAD) / b"broken"
        case "tcp with a wrong checksum":
            return scapy.TCP(sport=9, dport=9, flags="A", chksum=0xBAD) / b"broken"
        case "tcp with options":
            options = [("Timestamp", (1, 2)), ("SAck", (3, 4))]
            return scapy.TCP(sport=9, dport=9, flags="PA", options=options) / b"data"
        case "truncated tcp":
            return scapy.Raw(b"\x00\x09\x00\x09\x00\x00")
        case "unknown":
            return scapy.Raw(bytes(range(64)))
    raise ValueError(kind)


_NUMBERS = {"truncated tcp": 6, "unknown": 253}  # IANA; 253 is for experiments (RFC 3692)


def packets(version: int) -> list[bytes]:
    """Returns one packet of each kind, and fragments."""
    built = []
    for kind in (
        *("esp", "ah", "sctp", "gre", "vxlan", "vxlan without checksum"),
        *("udp with a wrong checksum", "tcp with a wrong checksum", "tcp with options"),
        *("truncated tcp", "unknown"),
    ):
        header = ip(version)
        if kind in _NUMBERS:
            setattr(header, "nh" if version == 6 else "proto", _NUMBERS[kind])
        built.append(bytes(header / payload(version, kind)))
    built += fragments(version)
    if version == 4:
        options = scapy.IP(bytes(ip(4)), options=[scapy.IPOption_Router_Alert()])
        del options.ihl, options.len, options.chksum
        built.append(bytes(options / scapy.UDP(sport=9, dport=9) / b"options"))
    return built


def fragments(version: int) -> list[bytes]:
    """Returns a datagram in three fragments, the last one first."""
    whole = scapy.UDP(sport=9, dport=9) / bytes(2000)
    if version == 4:
        pieces = scapy.fragment(ip(4) / whole, fragsize=800)
    else:
        extended = ip(6) / scapy.IPv6ExtHdrFragment(id=99) / whole
        pieces = scapy.fragment6(extended, 900)
    return [bytes(piece) for piece in reversed(pieces)]


@pytest.mark.parametrize("version", [4, 6])
def test_every_protocol_passes_unchanged_and_in_order(tunnel: Pair, version: int) -> None:
    sent = [packet.hex() for packet in packets(version)]
    assert len(sent) > 12
    network = tunnel.network
    receiver = network.gateway.start(*_SCRIPT, "receive", str(len(sent)))
    receiver.wait_for("listening")
    network.client.run(*_SCRIPT, "send", stdin="\n".join(sent))
    received = receiver.wait(10).split()[1:]
    assert received == sent
