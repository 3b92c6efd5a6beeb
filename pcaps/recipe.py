"""What the scripts of the cases share: packets in, a capture out, the same bytes every time.

Each `make.py` is run by itself and writes its capture beside itself, or into the folder it is given:

    python pcaps/gso_egress/seed-trace/make.py [FOLDER]

Times are whole nanoseconds after `EPOCH_NS`. Addresses are those of documentation and private networks.
"""

import gzip
import struct
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

EPOCH_NS = 1_700_000_000_000_000_000
RAW_IP = 101  # tcpdump.org/linktypes.html
ETHERNET = 1

Timed = tuple[int, bytes]
"""Nanoseconds after EPOCH_NS, and a packet from the header of its link on."""


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
    source: str,
    destination: str,
    ports: tuple[int, int],
    flags: Sequence[str] | None = None,
    ecn: Sequence[int] | None = None,
    first_sequence: int = 1_000_000_001,
) -> list[bytes]:
    """Segments of one direction of a connection, payload lengths given, with timestamps as Linux sends."""
    from scapy.layers.inet import IP, TCP

    sequence, packets = first_sequence, []
    for number, length in enumerate(lengths):
        ip = IP(
            src=source, dst=destination, id=(0x1000 + number) & 0xFFFF, flags="DF", ttl=64,
            tos=ecn[number] if ecn else 0,
        )  # fmt: skip
        tcp = TCP(
            sport=ports[0], dport=ports[1], seq=sequence & 0xFFFF_FFFF, ack=2_000_000_001,
            flags=flags[number] if flags else "A", window=501,
            options=[("NOP", None), ("NOP", None), ("Timestamp", (3_862_031_964, 1_928_356_896))],
        )  # fmt: skip
        packets.append(bytes(ip / tcp / payload(length, number)))
        sequence += length
    return packets


def payload(length: int, number: int) -> bytes:
    """Bytes that differ from packet to packet, so that one in another's place is seen."""
    pattern = bytes((number * 31 + i) & 0xFF for i in range(256))
    return (pattern * (length // 256 + 1))[:length]


def _block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    length = len(body) + 12
    return struct.pack(f"{order}II", kind, length) + body + struct.pack(f"{order}I", length)
