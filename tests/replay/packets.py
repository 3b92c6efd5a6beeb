"""Builds captures without scapy: UDP and TCP over IPv4, with valid checksums."""

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

CLIENT, SERVER = bytes((10, 0, 0, 2)), bytes((10, 0, 1, 1))
_PATTERN = bytes(range(256)) * 8


def udp(port: int, payload: bytes, *, number: int = 0) -> bytes:
    body = struct.pack(">4H", port, 443, 8 + len(payload), 0) + payload
    return _ipv4(17, body, 6, number, 0)


def tcp(port: int, sequence: int, payload: bytes, *, number: int = 0, ecn: int = 0) -> bytes:
    body = struct.pack(">HHIIBBHHH", port, 443, sequence, 1, 0x50, 0x10, 501, 0, 0) + payload
    return _ipv4(6, body, 16, number, ecn)


def write_pcap(path: Path, packets: Iterable[tuple[int, bytes]]) -> Path:
    """Writes a pcap of (microseconds, packet)."""
    parts = [struct.pack("<IHHiIII", 0xA1B2_C3D4, 2, 4, 0, 0, 262_144, 101)]
    for at_us, packet in packets:
        parts.append(struct.pack("<4I", 1000, at_us, len(packet), len(packet)) + packet)
    path.write_bytes(b"".join(parts))
    return path


def flows(steps: Sequence[tuple[int, int, int, int]]) -> list[tuple[int, bytes]]:
    """Returns packets for steps of (flow, payload length, ECN, gap in µs); even flows are TCP, odd UDP."""
    at_us, sequences, packets = 0, dict.fromkeys(range(256), 1), []
    for number, (flow, length, ecn, gap_us) in enumerate(steps):
        at_us += gap_us
        payload = _PATTERN[number & 0xFF :][:length]
        if flow % 2:
            packets.append((at_us, udp(1000 + flow, payload, number=number)))
        else:
            sequence = sequences[flow]
            sequences[flow] += length
            packets.append((at_us, tcp(1000 + flow, sequence, payload, number=number, ecn=ecn)))
    return packets


def _ipv4(protocol: int, body: bytes, checksum_at: int, number: int, ecn: int) -> bytes:
    pseudo = CLIENT + SERVER + struct.pack(">BBH", 0, protocol, len(body))
    total = _checksum(pseudo + body) or 0xFFFF
    body = body[:checksum_at] + struct.pack(">H", total) + body[checksum_at + 2 :]
    head = struct.pack(">BBHHHBBH", 0x45, ecn, 20 + len(body), number, 0x4000, 64, protocol, 0)
    head += CLIENT + SERVER
    return head[:10] + struct.pack(">H", _checksum(head)) + head[12:] + body


def _checksum(content: bytes) -> int:
    # A number is congruent to the sum of its 16-bit digits modulo 0xFFFF.
    content += bytes(len(content) % 2)
    return 0xFFFF - (int.from_bytes(content) % 0xFFFF or 0xFFFF)
