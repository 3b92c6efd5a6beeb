"""`python -m bench.replay`: measures the replay of a million packets against the cipher alone and scapy.

Each replay seals, batches, opens and checks every packet, in a process of its own on one core. It is compared
with the two cipher calls inside the same run, and with scapy's dissection of the same packets right after it.
"""

import argparse
import json
import os
import platform
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

_BUILD = Path(__file__).parent.parent / "build" / "replay"
# IP packet lengths, and how many of a hundred packets have each: 402 bytes on average.
_MIXED = {64: 57, 576: 30, 1420: 13}
_FULL = {1420: 100}
_FLOWS = 8
_BURST = 10
"""Packets that a flow sends before the next flow's turn."""
_GAP_NS = 2000
_SAMPLE = 20_000

COST_TARGET, SCAPY_TARGET, MEMORY_TARGET_MIB = 2.0, 30.0, 128.0

# Run with -P in the root directory, so that they import the installed pyfw, not the checkout.
_REPLAY = """
import json, os, sys
from pathlib import Path
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from pyfw import _native
from pyfw.replay.case import Case, End
gateway = End(name="gateway", endpoint="192.0.2.1:51820", addresses=("10.0.1.0/24",))
client = End(name="client", endpoint="192.0.2.2:51820", addresses=("10.0.0.0/24",))
result = _native.replay(Case(name="bench", capture=sys.argv[1], keep=0, ends=(gateway, client)))
status = Path("/proc/self/status").read_text()
keys = ("packets", "bytes", "wall_ns", "cipher_ns", "batch_count", "error")
found = {key: result[key] for key in keys}
found["in_order"] = all(f["late"] == f["early"] == f["lost"] == 0 for f in result["flows"])
found["peak_rss_kib"] = int(status.split("VmHWM:")[1].split()[0])
print(json.dumps(found))
"""
_SCAPY = """
import json, os, sys, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from scapy.layers.inet import IP, TCP
from scapy.utils import RawPcapReader
path, count = sys.argv[1:]
with RawPcapReader(path) as reader:
    packets = [data for data, _ in (next(reader) for _ in range(int(count)))]
start_ns = time.perf_counter_ns()
for data in packets:
    IP(data)
print((time.perf_counter_ns() - start_ns) / len(packets))
"""


@dataclass(frozen=True)
class Row:
    """One capture: the cost of a packet, in nanoseconds."""

    name: str
    packets: int
    mean_bytes: float
    replay_ns: float
    cipher_ns: float
    cost: float
    """The replay over the two cipher calls of the same run."""
    scapy_ns: float
    peak_rss_mib: float

    @property
    def scapy(self) -> float:
        """Packets replayed in the time in which scapy dissects one."""
        return self.scapy_ns / self.replay_ns


def main() -> None:
    """Measures and prints; exits with 0 if the targets are met."""
    parser = argparse.ArgumentParser(prog="python -m bench.replay", description=__doc__)
    parser.add_argument(
        "--packets", type=int, default=1_000_000, help="packets to replay (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results")
    arguments = parser.parse_args()
    version = _installed_version()
    print(f"{version}, {platform.machine()}, one core", file=sys.stderr)
    # A fifth as many full packets have nearly as many bytes.
    captures = {
        "mixed": capture("mixed", _MIXED, arguments.packets),
        "1420 B": capture("full", _FULL, max(arguments.packets // 5, 1)),
    }
    rows = [measure(name, path, arguments.rounds) for name, path in captures.items()]
    print(report(rows))
    if arguments.json:
        document = {
            "version": version,
            "kernel": platform.release(),
            "rounds": arguments.rounds,
            "rows": [asdict(row) | {"scapy": row.scapy} for row in rows],
        }
        arguments.json.write_text(json.dumps(document, indent=2) + "\n")
    sys.exit(0 if met(rows[0]) else 1)


def measure(name: str, path: Path, rounds: int) -> Row:
    """Returns the medians of some rounds."""
    runs = [_replayed(path) for _ in range(rounds)]
    sample = min(_SAMPLE, runs[0]["packets"])
    scapy_ns = float(_python(_SCAPY, str(path), str(sample)))
    packets = runs[0]["packets"]
    return Row(
        name=name,
        packets=packets,
        mean_bytes=runs[0]["bytes"] / packets,
        replay_ns=median(run["wall_ns"] for run in runs) / packets,
        cipher_ns=median(run["cipher_ns"] for run in runs) / packets,
        cost=median(run["wall_ns"] / run["cipher_ns"] for run in runs),
        scapy_ns=scapy_ns,
        peak_rss_mib=max(run["peak_rss_kib"] for run in runs) / 1024,
    )


def report(rows: list[Row]) -> str:
    """Returns a table, and the three targets of its first row."""
    head = f"{'':<8}{'packets':>10}{'mean B':>8}{'replay ns':>11}{'cipher ns':>11}{'ratio':>7}"
    lines = [f"{head}{'scapy ns':>10}{'times':>7}{'peak MiB':>10}"]
    for row in rows:
        lines.append(
            f"{row.name:<8}{row.packets:>10,}{row.mean_bytes:>8.0f}{row.replay_ns:>11.0f}"
            f"{row.cipher_ns:>11.0f}{row.cost:>7.2f}{row.scapy_ns:>10.0f}{row.scapy:>7.0f}"
            f"{row.peak_rss_mib:>10.0f}"
        )
    first = rows[0]
    targets = (
        (
            "times the two cipher calls",
            first.cost,
            "at most",
            COST_TARGET,
            first.cost <= COST_TARGET,
        ),
        ("times scapy's rate", first.scapy, "at least", SCAPY_TARGET, first.scapy >= SCAPY_TARGET),
        ("MiB at the peak", first.peak_rss_mib, "below", MEMORY_TARGET_MIB, _memory_met(first)),
    )
    for unit, value, relation, bound, is_met in targets:
        state = "met" if is_met else "MISSED"
        lines.append(f"{first.name}: {value:.2f} {unit}; target {relation} {bound:g}: {state}")
    return "\n".join(lines)


def met(row: Row) -> bool:
    """Whether a row meets all three targets."""
    return row.cost <= COST_TARGET and row.scapy >= SCAPY_TARGET and _memory_met(row)


def _memory_met(row: Row) -> bool:
    return row.peak_rss_mib < MEMORY_TARGET_MIB


def capture(name: str, lengths: dict[int, int], packets: int) -> Path:
    """Returns a capture of TCP flows in turn; it is made once and kept."""
    path = _BUILD / f"{name}-{packets}.pcap"
    if not path.exists():
        print(f"making {path.name}", file=sys.stderr)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        with partial.open("wb", buffering=1 << 20) as file:
            # Nanoseconds, raw IP (tcpdump.org/linktypes.html).
            file.write(struct.pack("<IHHiIII", 0xA1B2_3C4D, 2, 4, 0, 0, 65_535, 101))
            for number, packet in enumerate(islice(_packets(lengths), packets)):
                seconds, rest = divmod(number * _GAP_NS, 1_000_000_000)
                file.write(struct.pack("<4I", seconds, rest, len(packet), len(packet)))
                file.write(packet)
        partial.rename(path)
    return path


def _packets(lengths: dict[int, int]) -> Iterator[bytes]:
    random = Random(1)
    hundred = [length for length, share in lengths.items() for _ in range(share)]
    payloads = {length: random.randbytes(length - 40) for length in lengths}
    sums = {length: _checksum(payload) for length, payload in payloads.items()}
    sequences = [1] * _FLOWS
    client = bytes((10, 0, 0, 2))
    while True:
        for flow in range(_FLOWS):
            server = bytes((10, 0, 1, 1 + flow))
            for length in random.choices(hundred, k=_BURST):
                ip = struct.pack(">BBHHHBB", 0x45, 0, length, 0, 0x4000, 64, 6)
                total = 0xFFFF - _fold(_checksum(ip + client + server))
                ip += struct.pack(">H", total) + client + server
                sequence = sequences[flow]
                sequences[flow] = (sequence + length - 40) & 0xFFFF_FFFF
                tcp = struct.pack(">HHIIBBH", 40000 + flow, 443, sequence, 1, 0x50, 0x10, 501)
                pseudo = client + server + struct.pack(">HH", 6, length - 20)
                total = 0xFFFF - _fold(_checksum(pseudo + tcp) + sums[length])
                yield ip + tcp + struct.pack(">HH", total, 0) + payloads[length]


def _checksum(content: bytes) -> int:
    return sum(struct.unpack(f">{len(content) // 2}H", content))


def _fold(total: int) -> int:
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def _replayed(path: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(_python(_REPLAY, str(path)))
    if result["error"] is not None or not result["in_order"]:
        sys.exit(f"bench: {path}: {result}")
    return result


def _installed_version() -> str:
    version = _python("from pyfw.cli import main; main()", "--version").strip()
    if version.endswith("(debug)"):
        sys.exit(
            "bench: pyfw is a debug build, whose figures mean nothing; `make bench` builds a release"
        )
    return version


def _python(script: str, *arguments: str) -> str:
    command = [sys.executable, "-P", "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=os.sep)
    if done.returncode != 0:
        sys.exit(f"bench: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


if __name__ == "__main__":
    main()
