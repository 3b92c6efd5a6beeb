"""Wireshark as an independent reference: it decrypts what pyfw writes and finds the same reordering.

It sees only the outer packets, in order of arrival, without those that the receiver rejects: dropped by the
wire, or with a counter that was used before.
"""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyfw.replay.collect import CollectedCase, collect
from pyfw.replay.runner import Task, run
from tests.replay.read_pcapng import Packet, only, packets

ROOT = Path(__file__).parents[2]
# The others start tshark some 200 times.
QUICK = ("gso_egress/seed-trace", "udp_ingress/client-roams", "udp_ingress/everything-at-once")

NOT_DELIVERED = {"lost", "too_big", "queue_full", "unreachable"}
ANALYSIS = ("out_of_order", "retransmission", "fast_retransmission", "spurious_retransmission")
CHECKSUMS = ("ip", "tcp", "udp")

# Packets with wrong checksums in the capture, which must stay wrong.
WRONG_CHECKSUMS = {"coalesce/wrong-checksums": 6}


def name_of(collected: CollectedCase) -> str:
    return collected.name.rpartition("pcaps/")[2]


pytestmark = [
    pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed"),
    pytest.mark.parametrize(
        "collected",
        [
            pytest.param(
                case,
                id=name_of(case),
                marks=() if name_of(case) in QUICK else pytest.mark.long,
            )
            for case in collect([str(ROOT / "pcaps")])
        ],
        scope="module",
    ),
]


@pytest.fixture(scope="module")
def written(
    collected: CollectedCase, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], bytes, Path]:
    """The result of a case, the pcapng of its packets, and a folder."""
    case = collected.case
    assert case is not None, collected.problem
    folder = tmp_path_factory.mktemp("tshark")
    file = folder / "out.pcapng"
    done = run(Task(name=case.name, case=case, rule=case.rule, write=str(file), secrets=True))
    assert done.result is not None, done.problem
    return done.result, file.read_bytes(), folder


def test_tshark_decrypts_exactly_the_valid_datagrams(
    written: tuple[dict[str, Any], bytes, Path],
) -> None:
    result, content, folder = written
    inner = {packet.id: packet.data for packet in packets(content) if not packet.is_outer}
    outer = [packet for packet in packets(content) if packet.is_outer]
    plaintexts, failures = decrypt(save(folder, only(content, lambda packet: packet.is_outer)))
    assert len(plaintexts) == len(outer)
    for packet, plaintext in zip(outer, plaintexts, strict=True):
        sent = inner.get(packet.id, b"")
        if "unreachable" in packet.events:
            # Wireshark follows a roaming peer and does not decrypt what goes to its old address.
            continue
        if packet.events.isdisjoint({"corrupted", "forged", "replayed"}):
            # The packet is padded (whitepaper §5.4.6).
            assert plaintext[: len(sent)] == sent
            assert not any(plaintext[len(sent) :])
            assert len(plaintext) - len(sent) < 16
        elif "replayed" in packet.events:
            assert any(plaintext.startswith(data) for data in inner.values())
        else:
            assert plaintext == b""
    intact = [packet for packet in outer if packet.events.isdisjoint({"duplicated", "replayed"})]
    sealed = {packet.id for packet in intact if packet.carries_packet}
    injected = {packet.id for packet in outer if packet.events & {"forged", "replayed"}}
    assert sealed <= inner.keys() | injected
    drops = [end["counters"]["datagrams"]["drops"] for end in result["ends"].values()]
    assert failures == sum(end.get("forged", 0) for end in drops)


def test_tshark_counts_the_same_reordering(
    collected: CollectedCase, written: tuple[dict[str, Any], bytes, Path]
) -> None:
    result, content, folder = written
    name = name_of(collected)
    flows = [flow for flow in result["flows"] if flow["protocol"] == "tcp"]
    ours = sum(flow["late"] + flow["duplicates"] for flow in flows)
    theirs, wrong_checksums = analyse(save(folder, only(content, accepted())))
    if name.startswith("real/"):
        # Retransmissions in the capture itself do not count.
        before, _ = analyse(save(folder, only(content, lambda packet: not packet.is_outer)))
        theirs -= before
    assert theirs == ours
    assert wrong_checksums == WRONG_CHECKSUMS.get(name, 0)


def accepted() -> Callable[[Packet], bool]:
    """Returns a filter for the outer packets that the receiver accepts, called in order of arrival."""
    seen: set[bytes] = set()

    def accept(packet: Packet) -> bool:
        if not packet.is_outer or packet.events & NOT_DELIVERED:
            return False
        # Handshake messages have no counter.
        session_and_counter = packet.message[4:16]
        fresh = packet.message[0] != 4 or session_and_counter not in seen
        if packet.events.isdisjoint({"corrupted", "forged"}):
            seen.add(session_and_counter)
        return fresh

    return accept


def save(folder: Path, content: bytes) -> Path:
    file = folder / "part.pcapng"
    file.write_bytes(content)
    return file


def decrypt(file: Path) -> tuple[list[bytes], int]:
    """Returns the plaintext of every packet, and the number of packets that failed to decrypt."""
    text = tshark(file, "-O", "wg", "-x")
    frames = re.split(r"^Frame \d+: ", text, flags=re.MULTILINE)[1:]
    plaintexts = []
    for frame in frames:
        # Dumps of reassembled data may follow the packet's own.
        _, _, dump = frame.partition("Decrypted Packet (")
        length = int(dump.split(" ", 1)[0]) if dump else 0
        lines = re.findall(r"^[0-9a-f]{4,5}  ((?:[0-9a-f]{2} ){1,16})", dump, re.MULTILINE)
        plaintexts.append(bytes.fromhex("".join(lines))[:length])
    return plaintexts, text.count("[Packet data decryption failed]")


def analyse(file: Path) -> tuple[int, int]:
    """Returns the number of TCP segments out of order or repeated, and of packets with a wrong checksum."""
    fields = [f"tcp.analysis.{name}" for name in ANALYSIS]
    fields += [f"{name}.checksum.status" for name in CHECKSUMS]
    checked = [f"-o{name}.check_checksum:TRUE" for name in CHECKSUMS]
    arguments_of_fields = [argument for field in fields for argument in ("-e", field)]
    disordered = wrong = 0
    for line in tshark(file, "-Tfields", *checked, *arguments_of_fields).splitlines():
        columns = line.split("\t")
        disordered += any(columns[: len(ANALYSIS)])
        wrong += any("0" in column.split(",") for column in columns[len(ANALYSIS) :])
    return disordered, wrong


def tshark(file: Path, *arguments: str) -> str:
    # -n disables name resolution; an empty HOME gives default preferences.
    done = subprocess.run(
        ["tshark", "-n", "-r", str(file), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"HOME": str(file.parent), "PATH": "/usr/bin:/bin:/usr/local/bin"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
