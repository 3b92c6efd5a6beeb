"""What the scripts of the cases share: packets in, a capture out, the same bytes every time.

Each `make.py` is run by itself and writes its capture beside itself, or into the folder it is given:

    python pcaps/gso_egress/seed-trace/make.py [FOLDER]

Times are whole nanoseconds after `EPOCH_NS`. Addresses are those of documentation and private networks.
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
"""Nanoseconds after EPOCH_NS, and a packet from the header of its link on."""

Shape = Callable[[int, Any, Any], None]
"""Changes one packet's headers before it is built: its number in the run, its layers of scapy."""


def write_pcap(
    name: str,
    packets: Iterable[Timed],
    *,
    link: int = RAW_IP,
    nanoseconds: bool = False,
    order: str = "<",
    snap_length: int = 262_144,
) -> None:
    """Writes a classic capture; a name that ends in .gz is compressed."""
    magic, unit = (0xA1B2_3C4D, 1) if nanoseconds else (0xA1B2_C3D4, 1000)
    parts = [struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, snap_length, link)]
    for at_ns, packet in packets:
        seconds, rest = divmod(EPOCH_NS + at_ns, 1_000_000_000)
        kept = packet[:snap_length]
        parts.append(struct.pack(f"{order}4I", seconds, rest // unit, len(kept), len(packet)))
        parts.append(kept)
    write(name, b"".join(parts))


def write_pcapng(
    name: str, packets: Iterable[Timed], *, link: int = RAW_IP, order: str = "<"
) -> None:
    """Writes a capture of one interface with nanoseconds (draft-ietf-opsawg-pcapng)."""
    blocks = [_block(order, 0x0A0D_0D0A, struct.pack(f"{order}IHHq", 0x1A2B_3C4D, 1, 0, -1))]
    # if_tsresol (9) of one byte, 10^-9; then the end of the options.
    options = struct.pack(f"{order}HHB3xHH", 9, 1, 9, 0, 0)
    blocks.append(_block(order, 1, struct.pack(f"{order}HHI", link, 0, 0) + options))
    for at_ns, packet in packets:
        high, low = divmod(EPOCH_NS + at_ns, 1 << 32)
        head = struct.pack(f"{order}5I", 0, high, low, len(packet), len(packet))
        blocks.append(_block(order, 6, head + packet))
    write(name, b"".join(blocks))


def write(name: str, content: bytes) -> None:
    """Puts a file beside the script that runs, or into the folder that it was given."""
    script = Path(sys.argv[0]).resolve()
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else script.parent
    if name.endswith(".gz"):
        # Stored, without a time: what deflate makes of bytes depends on the library.
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
    shape: Shape | None = None,
) -> list[bytes]:
    """Segments of one direction of a connection, payload lengths given, with timestamps as Linux sends.

    `reply` is the other direction of the same connection, with its sequence numbers.
    """
    from scapy.layers.inet import TCP

    sequence, acknowledged, packets = first_sequence, 2_000_000_001, []
    if reply:
        source, destination, ports = destination, source, ports[::-1]
        sequence, acknowledged = acknowledged, sequence
    for number, length in enumerate(lengths):
        ip = ip_header(source, destination, number, ecn[number] if ecn else 0)
        tcp = TCP(
            sport=ports[0], dport=ports[1], seq=sequence & 0xFFFF_FFFF, ack=acknowledged,
            flags=flags[number] if flags else "A", window=501,
            options=[("NOP", None), ("NOP", None), ("Timestamp", (3_862_031_964, 1_928_356_896))],
        )  # fmt: skip
        if shape:
            shape(number, ip, tcp)
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
    shape: Shape | None = None,
) -> list[bytes]:
    """Datagrams of one direction, payload lengths given."""
    from scapy.layers.inet import UDP

    packets = []
    for number, length in enumerate(lengths):
        ip = ip_header(source, destination, number, ecn[number] if ecn else 0)
        udp = UDP(sport=ports[0], dport=ports[1])
        if shape:
            shape(number, ip, udp)
        packets.append(bytes(ip / udp / payload(length, number)))
    return packets


def ip_run(
    protocol: int, bodies: Sequence[Any], *, source: str = CLIENT, destination: str = SERVER
) -> list[bytes]:
    """IP packets with what is given in them: bytes, or layers of scapy."""
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
    turn_us: int = 500,
) -> list[Timed]:
    """A connection from SYN to FIN: a request, an answer in flights of four segments, acknowledged by two."""
    from scapy.layers.inet import TCP

    packets: list[Timed] = []
    # The next sequence number of client and server.
    at = [1_000_000_000, 2_000_000_000]
    now_us = 0

    def say(who: int, flags: str, length: int = 0) -> None:
        nonlocal now_us
        now_us += 1
        addresses = (client, server) if who == 0 else (server, client)
        number = len(packets)
        syn = "S" in flags
        stamp = ("Timestamp", (1000 + number, 0 if flags == "S" else 999))
        tcp = TCP(
            sport=ports[who], dport=ports[1 - who], seq=at[who], flags=flags, window=501,
            ack=0 if flags == "S" else at[1 - who],
            options=[("MSS", 1380), ("SAckOK", b""), stamp, ("NOP", None), ("WScale", 7)]
            if syn else [("NOP", None), ("NOP", None), stamp],
        )  # fmt: skip
        packet = bytes(ip_header(*addresses, number, 0) / tcp / payload(length, number))
        packets.append((now_us * 1000, packet))
        at[who] += length + syn + ("F" in flags)

    def turn() -> None:
        nonlocal now_us
        now_us += turn_us

    say(0, "S")
    turn()
    say(1, "SA")
    turn()
    say(0, "A")
    say(0, "PA", request)
    turn()
    say(1, "A")
    for first in range(0, len(answer), 4):
        for length in answer[first : first + 4]:
            say(1, "PA" if length < answer[0] else "A", length)
        turn()
        say(0, "A")
        say(0, "A")
        turn()
    say(1, "FA")
    turn()
    say(0, "FA")
    turn()
    say(1, "A")
    return packets


def ip_header(source: str, destination: str, number: int, tos: int) -> Any:
    """The header of the version that the addresses are of, as Linux fills it."""
    from scapy.layers.inet import IP
    from scapy.layers.inet6 import IPv6

    if ":" in source:
        return IPv6(src=source, dst=destination, tc=tos, hlim=64, fl=0x12345)
    number = (0x1000 + number) & 0xFFFF
    return IP(src=source, dst=destination, id=number, flags="DF", ttl=64, tos=tos)


def every(step_us: float, packets: Iterable[bytes], *, start_us: float = 0) -> list[Timed]:
    """Packets at even distances."""
    return [(round((start_us + i * step_us) * 1000), packet) for i, packet in enumerate(packets)]


def bursts(
    size: int, gap_us: float, packets: Sequence[bytes], *, start_us: float = 0
) -> list[Timed]:
    """Packets in groups: 1 µs apart in a group, `gap_us` from group to group."""
    return [
        (round((start_us + i // size * gap_us + i % size) * 1000), packet)
        for i, packet in enumerate(packets)
    ]


def in_turn(*runs: Sequence[bytes]) -> list[bytes]:
    """One packet of each run, then the next of each, until all are through."""
    longest = max(len(run) for run in runs)
    return [run[i] for i in range(longest) for run in runs if i < len(run)]


def payload(length: int, number: int) -> bytes:
    """Bytes that differ from packet to packet, so that one in another's place is seen."""
    pattern = bytes((number * 31 + i) & 0xFF for i in range(256))
    return (pattern * (length // 256 + 1))[:length]


def _block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    length = len(body) + 12
    return struct.pack(f"{order}II", kind, length) + body + struct.pack(f"{order}I", length)
