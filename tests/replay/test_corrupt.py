"""Broken captures: what stands before the fault is replayed, then the fault is named, and where it is."""

import gzip
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pyfw.cli.group import group
from tests.replay.packets import flows, write_pcap

LENGTHS = [100, 200, 300, 400, 500]
FILE_HEADER, RECORD_HEADER, HEADERS = 24, 16, 40
# Where each record begins, and the file ends.
STARTS = [FILE_HEADER + sum(RECORD_HEADER + HEADERS + n for n in LENGTHS[:i]) for i in range(6)]

Break = Callable[[bytearray], bytes]


def longs(content: bytearray, at: int, *values: int) -> bytes:
    struct.pack_into(f"<{len(values)}I", content, at, *values)
    return bytes(content)


FAULTS: dict[str, tuple[Break, int, str, int]] = {
    # Name: what is done to it, where the fault is, a word of what is said, packets before it.
    "bad magic": (lambda c: b"\0\0\0\0" + c[4:], 0, "pcap", 0),
    "no capture but words": (lambda _c: b"hello, this is no capture at all\n", 0, "pcap", 0),
    "nothing at all": (lambda _c: b"", 0, "empty", 0),
    "cut in the file's header": (lambda c: bytes(c[:17]), 0, "17 of 24", 0),
    "cut in a record's header": (lambda c: bytes(c[: STARTS[3] + 9]), STARTS[3], "9 of 16", 3),
    "cut in a packet": (lambda c: bytes(c[: STARTS[4] + 50]), STARTS[4], "of", 4),
    "a length of gigabytes": (
        lambda c: longs(c, STARTS[2] + 8, 0xFFFF_FFF0, 0xFFFF_FFF0),
        STARTS[2],
        "4294967280",
        2,
    ),
    "a length that is too long": (
        lambda c: longs(c, STARTS[4] + 8, 5000, 5000),
        STARTS[4],
        "of",
        4,
    ),
    "more captured than there was": (lambda c: longs(c, STARTS[1] + 12, 7), STARTS[1], "7", 1),
    "an unknown link type": (lambda c: longs(c, 20, 147), 20, "147", 0),
}


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return write_pcap(tmp_path / "c.pcap", flows([(0, length, 0, 10) for length in LENGTHS]))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
def test_what_stands_before_the_fault_is_replayed(
    capture: Path, fault: str, compressed: bool
) -> None:
    damage, offset, words, packets = FAULTS[fault]
    content = damage(bytearray(capture.read_bytes()))
    capture.write_bytes(gzip.compress(content) if compressed and content else content)
    said = check(capture, packets)
    assert said["offset"] == offset, said
    assert words in said["text"], said


def test_a_gzip_that_is_cut_is_read_up_to_there(capture: Path) -> None:
    whole = gzip.compress(capture.read_bytes(), compresslevel=0)
    capture.write_bytes(whole[:-300])
    said = check(capture, 4)
    assert said["text"]


@pytest.mark.parametrize("length", [0, 4, 8, 13])
def test_a_block_too_short_to_be_one_ends_a_pcapng(tmp_path: Path, length: int) -> None:
    blocks = pcapng()
    content = b"".join(blocks[:4]) + struct.pack("<II", 6, length) + b"".join(blocks[4:])
    said = check(save(tmp_path, content), 2)
    assert said["offset"] == sum(map(len, blocks[:4]))
    assert str(length) in said["text"]


def test_a_block_whose_two_lengths_differ_ends_a_pcapng(tmp_path: Path) -> None:
    blocks = pcapng()
    last = bytearray(blocks[5])
    longs(last, len(last) - 4, len(last) + 4)
    said = check(save(tmp_path, b"".join(blocks[:5]) + bytes(last)), 3)
    assert sum(map(len, blocks[:5])) <= said["offset"] < sum(map(len, blocks))


def test_a_packet_of_an_interface_that_is_none_ends_a_pcapng(tmp_path: Path) -> None:
    blocks = pcapng()
    content = b"".join(blocks[:3]) + longs(bytearray(blocks[3]), 8, 9)
    said = check(save(tmp_path, content), 1)
    assert "interface 9" in said["text"]


@pytest.mark.parametrize(
    "seconds", [[5, 4, 3, 2, 1], [0, 0xFFFF_FFFF, 1, 0xFFFF_FFFE, 2], [7, 7, 7, 7, 7]]
)
def test_times_that_go_back_or_nowhere_are_no_fault(capture: Path, seconds: list[int]) -> None:
    content = bytearray(capture.read_bytes())
    for start, second in zip(STARTS[:5], seconds, strict=True):
        longs(content, start, second, 999_999)
    capture.write_bytes(content)
    status, result, _ = replayed(capture)
    assert (status, result["packets"], result["error"]) == (0, 5, None)
    assert result["flows"][0]["delivered"] == 5
    assert result["flows"][0]["late"] == 0


def check(capture: Path, packets: int) -> dict[str, Any]:
    """Replays, checks what every fault has in common, and returns the error."""
    status, result, text = replayed(capture)
    error: dict[str, Any] = result["error"]
    assert status == 2
    assert result["packets"] == packets
    assert sum(flow["delivered"] for flow in result["flows"]) == packets
    assert f"corrupt capture at byte {error['offset']}: {error['text']}" in text
    return error


def replayed(capture: Path) -> tuple[int, dict[str, Any], str]:
    """Exit status, the result, and what the terminal shows."""
    shown = CliRunner().invoke(group, ["replay", str(capture), "--json", "-"])
    assert shown.exception is None or isinstance(shown.exception, SystemExit), shown.exception
    return shown.exit_code, json.loads(shown.stdout)["runs"][0]["result"], shown.stderr


def pcapng() -> list[bytes]:
    """A section, an interface of raw IP, five packets: a block each."""
    blocks = [block(0x0A0D_0D0A, struct.pack("<IHHq", 0x1A2B_3C4D, 1, 0, -1))]
    blocks.append(block(1, struct.pack("<HHI", 101, 0, 0)))
    for at_us, packet in flows([(0, length, 0, 10) for length in LENGTHS]):
        head = struct.pack("<5I", 0, 0, at_us, len(packet), len(packet))
        blocks.append(block(6, head + packet))
    return blocks


def block(kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)


def save(folder: Path, content: bytes) -> Path:
    file = folder / "c.pcapng"
    file.write_bytes(content)
    return file
