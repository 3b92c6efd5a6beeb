"""Builds the captures of the cases, with the same bytes every time.

Each `make.py` writes its capture beside itself or into the given folder:

    python pcaps/gso_egress/seed-trace/make.py [FOLDER]

Times are nanoseconds after `EPOCH_NS`. Addresses belong to documentation and private networks.
"""

import gzip
import struct
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

EPOCH_NS = 1_700_000_000_000_000_000
RAW_IP = 101  # tcpdump.org/linktypes.html
ETHERNET = 1

CLIENT, SERVER = "10.0.0.2", "10.0.1.1"
CLIENT6, SERVER6 = "fd00::2", "fd00:1::1"

Timed = tuple[int, bytes]
"""Nanoseconds after EPOCH_NS, and a packet with its link-layer header."""

HeaderEdit = Callable[[int, Any, Any], None]
"""Changes a packet's headers before it is built; gets its number in the run and its scapy layers."""


def write_pcap(
    name: str,
    packets: Iterable[Timed],
    *,
    link: int = RAW_IP,
    nanoseconds: bool = False,
    order: str = "<",
    snap_length: int = 262_144,
) -> None:
    """Writes a pcap, compressed if the name ends in .gz."""
    magic, unit = (0xA1B2_3C4D, 1) if nanoseconds else (0xA1B2_C3D4, 1000)
    parts = [struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, snap_length, link)]
    for at_ns, packet in packets:
        seconds, rest = divmod(EPOCH_NS + at_ns, 1_000_000_000)
        captured = packet[:snap_length]
        lengths = (len(captured), len(packet))
        parts.append(struct.pack(f"{order}4I", seconds, rest // unit, *lengths))
        parts.append(captured)
    write(name, b"".join(parts))


def write_pcapng(
    name: str, packets: Iterable[Timed], *, link: int = RAW_IP, order: str = "<"
) -> None:
    """Writes a pcapng with one interface and nanoseconds (draft-ietf-opsawg-pcapng)."""
    blocks = [_block(order, 0x0A0D_0D0A, struct.pack(f"{order}IHHq", 0x1A2B_3C4D, 1, 0, -1))]
    # if_tsresol (9), one byte: 10^-9; then the end of options.
    options = struct.pack(f"{order}HHB3xHH", 9, 1, 9, 0, 0)
    blocks.append(_block(order, 1, struct.pack(f"{order}HHI", link, 0, 0) + options))
    for at_ns, packet in packets:
        high, low = divmod(EPOCH_NS + at_ns, 1 << 32)
        head = struct.pack(f"{order}5I", 0, high, low, len(packet), len(packet))
        blocks.append(_block(order, 6, head + packet))
    write(name, b"".join(blocks))


def write(name: str, content: bytes) -> None:
    """Writes a file beside the running script, or into the folder of its argument."""
    script = Path(sys.argv[0]).resolve()
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else script.parent
    if name.endswith(".gz"):
        # Stored, without a time: the output of deflate depends on the library.
        content = gzip.compress(content, compresslevel=0, mtime=0)
    (folder / name).write_bytes(content)


def tcp_run(
    lengths: Sequence[int],
    *,
    source: str = CLIENT,
    destination: str = SERVER,
    ports: tuple[int, int] = (40000, 443),
    flags: Sequence[str] | None = None,
    ecn: Sequence[int] | None = None,
    first_sequence: int = 1_000_000_001,
    reply: bool = False,
    edit: HeaderEdit | None = None,
) -> list[bytes]:
    """Returns segments of one direction of a connection with these payload lengths and Linux's timestamps.

    `reply` is the other direction of the same connection, with its sequence numbers.
    """
    from scapy.layers.inet import TCP

    sequence, ack, packets = first_sequence, 2_000_000_001, []
    if reply:
        source, destination, ports = destination, source, ports[::-1]
        sequence, ack = ack, sequence
    for number, length in enumerate(lengths):
        ip = ip_header(source, destination, number, ecn[number] if ecn else 0)
        tcp = TCP(
            sport=ports[0], dport=ports[1], seq=sequence & 0xFFFF_FFFF, ack=ack,
            flags=flags[number] if flags else "A", window=501,
            options=[("NOP", None), ("NOP", None), ("Timestamp", (3_862_031_964, 1_928_356_896))],
        )  # fmt: skip
        if edit:
            edit(number, ip, tcp)
        packets.append(bytes(ip / tcp / payload(length, number)))
        sequence += length
    return packets


def udp_run(
    lengths: Sequence[int],
    *,
    source: str = CLIENT,
    destination: str = SERVER,
    ports: tuple[int, int] = (40000, 443),
    ecn: Sequence[int] | None = None,
    edit: HeaderEdit | None = None,
) -> list[bytes]:
    """Returns datagrams of one direction with these payload lengths."""
    from scapy.layers.inet import UDP

    packets = []
    for number, length in enumerate(lengths):
        ip = ip_header(source, destination, number, ecn[number] if ecn else 0)
        udp = UDP(sport=ports[0], dport=ports[1])
        if edit:
            edit(number, ip, udp)
        packets.append(bytes(ip / udp / payload(length, number)))
    return packets


def ip_run(
    protocol: int, bodies: Sequence[Any], *, source: str = CLIENT, destination: str = SERVER
) -> list[bytes]:
    """Returns IP packets with these payloads: bytes or scapy layers."""
    packets = []
    for number, body in enumerate(bodies):
        ip = ip_header(source, destination, number, 0)
        ip.setfieldval("nh" if ":" in source else "proto", protocol)
        packets.append(bytes(ip / body))
    return packets


def conversation(
    request: int,
    answer: Sequence[int],
    *,
    client: str = CLIENT,
    server: str = SERVER,
    ports: tuple[int, int] = (40000, 443),
    pause_us: int = 500,
) -> list[Timed]:
    """Returns a connection from SYN to FIN: a request, then flights of four segments with two ACKs."""
    from scapy.layers.inet import TCP

    packets: list[Timed] = []
    # Next sequence number of client (0) and server (1).
    sequences = [1_000_000_000, 2_000_000_000]
    now_us = 0

    def send(end: int, flags: str, length: int = 0) -> None:
        nonlocal now_us
        now_us += 1
        addresses = (client, server) if end == 0 else (server, client)
        number = len(packets)
        syn = "S" in flags
        stamp = ("Timestamp", (1000 + number, 0 if flags == "S" else 999))
        tcp = TCP(
            sport=ports[end], dport=ports[1 - end], seq=sequences[end], flags=flags, window=501,
            ack=0 if flags == "S" else sequences[1 - end],
            options=[("MSS", 1380), ("SAckOK", b""), stamp, ("NOP", None), ("WScale", 7)]
            if syn else [("NOP", None), ("NOP", None), stamp],
        )  # fmt: skip
        packet = bytes(ip_header(*addresses, number, 0) / tcp / payload(length, number))
        packets.append((now_us * 1000, packet))
        sequences[end] += length + syn + ("F" in flags)

    def pause() -> None:
        nonlocal now_us
        now_us += pause_us

    send(0, "S")
    pause()
    send(1, "SA")
    pause()
    send(0, "A")
    send(0, "PA", request)
    pause()
    send(1, "A")
    for first in range(0, len(answer), 4):
        for length in answer[first : first + 4]:
            send(1, "PA" if length < answer[0] else "A", length)
        pause()
        send(0, "A")
        send(0, "A")
        pause()
    send(1, "FA")
    pause()
    send(0, "FA")
    pause()
    send(1, "A")
    return packets


def ip_header(source: str, destination: str, number: int, tos: int) -> Any:
    """Returns an IP header as Linux fills it, of the addresses' version."""
    from scapy.layers.inet import IP
    from scapy.layers.inet6 import IPv6

    if ":" in source:
        return IPv6(src=source, dst=destination, tc=tos, hlim=64, fl=0x12345)
    number = (0x1000 + number) & 0xFFFF
    return IP(src=source, dst=destination, id=number, flags="DF", ttl=64, tos=tos)


def every(step_us: float, packets: Iterable[bytes], *, start_us: float = 0) -> list[Timed]:
    """Times packets at equal intervals."""
    return [(round((start_us + i * step_us) * 1000), packet) for i, packet in enumerate(packets)]


def bursts(
    size: int, gap_us: float, packets: Sequence[bytes], *, start_us: float = 0
) -> list[Timed]:
    """Times packets in bursts: 1 µs apart, with `gap_us` from burst to burst."""
    return [
        (round((start_us + i // size * gap_us + i % size) * 1000), packet)
        for i, packet in enumerate(packets)
    ]


def in_turn(*runs: Sequence[bytes]) -> list[bytes]:
    """Interleaves runs: the first packet of each, then the second of each."""
    longest = max(len(run) for run in runs)
    return [run[i] for i in range(longest) for run in runs if i < len(run)]


def payload(length: int, number: int) -> bytes:
    """Returns bytes that differ between packets, so that a swapped payload is detected."""
    pattern = bytes((number * 31 + i) & 0xFF for i in range(256))
    return (pattern * (length // 256 + 1))[:length]


def _block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    length = len(body) + 12
    return struct.pack(f"{order}II", kind, length) + body + struct.pack(f"{order}I", length)
