"""Corrupt captures: the packets before the error are replayed, and the error has an offset."""

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
# Offset of each record, and of the end of the file.
STARTS = [FILE_HEADER + sum(RECORD_HEADER + HEADERS + n for n in LENGTHS[:i]) for i in range(6)]

Break = Callable[[bytearray], bytes]


def with_u32s(content: bytearray, at: int, *values: int) -> bytes:
    struct.pack_into(f"<{len(values)}I", content, at, *values)
    return bytes(content)


FAULTS: dict[str, tuple[Break, int, str, int]] = {
    # Name: change, offset of the error, part of its text, packets before it.
    "bad magic": (lambda c: b"\0\0\0\0" + c[4:], 0, "pcap", 0),
    "text": (lambda _c: b"hello, this is no capture at all\n", 0, "pcap", 0),
    "an empty file": (lambda _c: b"", 0, "empty", 0),
    "truncated in the file header": (lambda c: bytes(c[:17]), 0, "17 of 24", 0),
    "truncated in a record header": (lambda c: bytes(c[: STARTS[3] + 9]), STARTS[3], "9 of 16", 3),
    "truncated in a packet": (lambda c: bytes(c[: STARTS[4] + 50]), STARTS[4], "of", 4),
    "a length of gigabytes": (
        lambda c: with_u32s(c, STARTS[2] + 8, 0xFFFF_FFF0, 0xFFFF_FFF0),
        STARTS[2],
        "4294967280",
        2,
    ),
    "a length that is too long": (
        lambda c: with_u32s(c, STARTS[4] + 8, 5000, 5000),
        STARTS[4],
        "of",
        4,
    ),
    "more captured than original bytes": (
        lambda c: with_u32s(c, STARTS[1] + 12, 7),
        STARTS[1],
        "7",
        1,
    ),
    "an unsupported link type": (lambda c: with_u32s(c, 20, 147), 20, "147", 0),
}


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return write_pcap(tmp_path / "c.pcap", flows([(0, length, 0, 10) for length in LENGTHS]))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
def test_packets_before_the_error_are_replayed(capture: Path, fault: str, compressed: bool) -> None:
    change, offset, text, packets = FAULTS[fault]
    content = change(bytearray(capture.read_bytes()))
    capture.write_bytes(gzip.compress(content) if compressed and content else content)
    error = check(capture, packets)
    assert error["offset"] == offset, error
    assert text in error["text"], error


def test_a_truncated_gzip_is_read_up_to_its_end(capture: Path) -> None:
    whole = gzip.compress(capture.read_bytes(), compresslevel=0)
    capture.write_bytes(whole[:-300])
    error = check(capture, 4)
    assert error["text"]


@pytest.mark.parametrize("length", [0, 4, 8, 13])
def test_a_too_short_block_ends_a_pcapng(tmp_path: Path, length: int) -> None:
    blocks = pcapng()
    content = b"".join(blocks[:4]) + struct.pack("<II", 6, length) + b"".join(blocks[4:])
    error = check(save(tmp_path, content), 2)
    assert error["offset"] == sum(map(len, blocks[:4]))
    assert str(length) in error["text"]


def test_a_block_with_two_lengths_ends_a_pcapng(tmp_path: Path) -> None:
    blocks = pcapng()
    last = bytearray(blocks[5])
    with_u32s(last, len(last) - 4, len(last) + 4)
    error = check(save(tmp_path, b"".join(blocks[:5]) + bytes(last)), 3)
    assert sum(map(len, blocks[:5])) <= error["offset"] < sum(map(len, blocks))


def test_an_undescribed_interface_ends_a_pcapng(tmp_path: Path) -> None:
    blocks = pcapng()
    content = b"".join(blocks[:3]) + with_u32s(bytearray(blocks[3]), 8, 9)
    error = check(save(tmp_path, content), 1)
    assert "interface 9" in error["text"]


@pytest.mark.parametrize(
    "seconds", [[5, 4, 3, 2, 1], [0, 0xFFFF_FFFF, 1, 0xFFFF_FFFE, 2], [7, 7, 7, 7, 7]]
)
def test_times_that_go_back_are_no_error(capture: Path, seconds: list[int]) -> None:
    content = bytearray(capture.read_bytes())
    for start, second in zip(STARTS[:5], seconds, strict=True):
        with_u32s(content, start, second, 999_999)
    capture.write_bytes(content)
    status, result, _ = replayed(capture)
    assert (status, result["packets"], result["error"]) == (0, 5, None)
    assert result["flows"][0]["delivered"] == 5
    assert result["flows"][0]["late"] == 0


def check(capture: Path, packets: int) -> dict[str, Any]:
    """Replays, checks what all errors have in common, and returns the error."""
    status, result, text = replayed(capture)
    error: dict[str, Any] = result["error"]
    assert status == 2
    assert result["packets"] == packets
    assert sum(flow["delivered"] for flow in result["flows"]) == packets
    assert f"corrupt capture at byte {error['offset']}: {error['text']}" in text
    return error


def replayed(capture: Path) -> tuple[int, dict[str, Any], str]:
    """Returns the exit status, the result and the terminal output."""
    shown = CliRunner().invoke(group, ["replay", str(capture), "--json", "-"])
    assert shown.exception is None or isinstance(shown.exception, SystemExit), shown.exception
    return shown.exit_code, json.loads(shown.stdout)["runs"][0]["result"], shown.stderr


def pcapng() -> list[bytes]:
    """Returns a section, an interface of raw IP and five packets, a block each."""
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
