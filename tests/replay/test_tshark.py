"""Wireshark as a judge: it decrypts what pyfw wrote by the file's own secrets, and finds what is late.

It sees the outer packets alone, in order of arrival, less what the tunnel's receiver never took: dropped
by the wire, or a counter that came twice.
"""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyfw.replay.find import Found, find
from pyfw.replay.runner import Task, run
from tests.replay.record import Packet, only, packets

ROOT = Path(__file__).parents[2]
CASES = find([str(ROOT / "pcaps")])

NOT_DELIVERED = {"lost", "too_big", "queue_full", "nobody_there"}
ANALYSIS = ("out_of_order", "retransmission", "fast_retransmission", "spurious_retransmission")
CHECKSUMS = ("ip", "tcp", "udp")

# Where Wireshark's heuristics do not say what RFC 4737 says: what it counts less, and why.
DIFFERENT: dict[str, tuple[int, str]] = {}
# Checksums that are wrong in the capture, and shall stay so.
WRONG_CHECKSUMS = {"coalesce/wrong-checksums": 6}

pytestmark = [
    pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed"),
    pytest.mark.parametrize(
        "found", CASES, ids=lambda found: found.name.rpartition("pcaps/")[2], scope="module"
    ),
]


@pytest.fixture(scope="module")
def written(
    found: Found, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], bytes, Path]:
    """The result of a case, the record of it, and a folder."""
    assert found.case is not None, found.problem
    folder = tmp_path_factory.mktemp("tshark")
    file = folder / "out.pcapng"
    task = Task(
        name=found.name, case=found.case, rule=found.case.rule, write=str(file), secrets=True
    )
    judged = run(task)
    assert judged.result is not None, judged.problem
    return judged.result, file.read_bytes(), folder


def test_it_opens_what_was_sealed_and_nothing_else(
    found: Found, written: tuple[dict[str, Any], bytes, Path]
) -> None:
    result, content, folder = written
    inner = {packet.id: packet.data for packet in packets(content) if not packet.is_outer}
    outer = [packet for packet in packets(content) if packet.is_outer]
    opened, failed = decrypted(save(folder, only(content, lambda packet: packet.is_outer)))
    assert len(opened) == len(outer)
    for packet, plaintext in zip(outer, opened, strict=True):
        sent = inner.get(packet.id, b"")
        if "nobody_there" in packet.fates:
            # Wireshark follows a peer that roams, and then knows nothing of its old address.
            continue
        if packet.fates.isdisjoint({"corrupted", "forged", "replayed"}):
            # Behind the packet there is padding (whitepaper §5.4.6).
            assert plaintext[: len(sent)] == sent
            assert not any(plaintext[len(sent) :])
            assert len(plaintext) - len(sent) < 16
        elif "replayed" in packet.fates:
            assert any(plaintext.startswith(data) for data in inner.values())
        else:
            assert plaintext == b""
    whole = [packet for packet in outer if packet.fates.isdisjoint({"duplicated", "replayed"})]
    sealed = [packet.id for packet in whole if packet.carries_packet]
    assert set(sealed) <= inner.keys() | spoilt(outer)
    drops = [end["counters"]["datagrams"]["drops"] for end in result["ends"].values()]
    assert failed == sum(end.get("forged", 0) for end in drops)


def test_it_finds_out_of_order_what_pyfw_finds_late(
    found: Found, written: tuple[dict[str, Any], bytes, Path]
) -> None:
    result, content, folder = written
    name = found.name.rpartition("pcaps/")[2]
    flows = [flow for flow in result["flows"] if flow["protocol"] == "tcp"]
    ours = sum(flow["late"] + flow["duplicates"] for flow in flows)
    theirs, wrong_checksums = analysed(save(folder, only(content, taken())))
    if name.startswith("real/"):
        # Senders repeat themselves also where nothing is reordered; those are in the capture.
        before, _ = analysed(save(folder, only(content, lambda packet: not packet.is_outer)))
        theirs -= before
    less, _reason = DIFFERENT.get(name, (0, ""))
    assert theirs + less == ours
    assert wrong_checksums == WRONG_CHECKSUMS.get(name, 0)


def taken() -> Callable[[Packet], bool]:
    """Says of one outer packet after the other whether the receiver took it."""
    seen: set[bytes] = set()

    def take(packet: Packet) -> bool:
        if not packet.is_outer or packet.fates & NOT_DELIVERED:
            return False
        # Handshake messages have no counter.
        session_and_counter = packet.message[4:16]
        fresh = packet.message[0] != 4 or session_and_counter not in seen
        if packet.fates.isdisjoint({"corrupted", "forged"}):
            seen.add(session_and_counter)
        return fresh

    return take


def spoilt(outer: list[Packet]) -> set[int]:
    """Packets of which the record holds no plaintext: they were never sent."""
    return {packet.id for packet in outer if packet.fates & {"forged", "replayed"}}


def save(folder: Path, content: bytes) -> Path:
    file = folder / "part.pcapng"
    file.write_bytes(content)
    return file


def decrypted(file: Path) -> tuple[list[bytes], int]:
    """For every packet what Wireshark finds in it, and how many it says it could not decrypt."""
    text = tshark(file, "-O", "wg", "-x")
    frames = re.split(r"^Frame \d+: ", text, flags=re.MULTILINE)[1:]
    plaintexts = []
    for frame in frames:
        # What the packet's own dissectors put together is dumped behind it.
        _, _, dump = frame.partition("Decrypted Packet (")
        length = int(dump.split(" ", 1)[0]) if dump else 0
        lines = re.findall(r"^[0-9a-f]{4,5}  ((?:[0-9a-f]{2} ){1,16})", dump, re.MULTILINE)
        plaintexts.append(bytes.fromhex("".join(lines))[:length])
    return plaintexts, text.count("[Packet data decryption failed]")


def analysed(file: Path) -> tuple[int, int]:
    """How many TCP segments are out of order or repeated, and how many checksums wrong."""
    fields = [f"tcp.analysis.{name}" for name in ANALYSIS]
    fields += [f"{name}.checksum.status" for name in CHECKSUMS]
    checked = [f"-o{name}.check_checksum:TRUE" for name in CHECKSUMS]
    wanted = [argument for field in fields for argument in ("-e", field)]
    disordered = wrong = 0
    for line in tshark(file, "-Tfields", *checked, *wanted).splitlines():
        columns = line.split("\t")
        disordered += any(columns[: len(ANALYSIS)])
        wrong += any("0" in column.split(",") for column in columns[len(ANALYSIS) :])
    return disordered, wrong


def tshark(file: Path, *arguments: str) -> str:
    # -n: no name is looked up. Preferences are the defaults, whoever runs it.
    done = subprocess.run(
        ["tshark", "-n", "-r", str(file), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"HOME": str(file.parent), "PATH": "/usr/bin:/bin:/usr/local/bin"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
