"""tap records what passes, and never drops a frame."""

import errno
import os
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Raw
from scapy.utils import PcapNgReader
from structlog.testing import capture_logs

from pyfw.observe.pcapng_file import PcapngFile
from pyfw.stages.tap import Tap, TapOptions
from tests.stages.libpcap import needs_libpcap
from tests.stages.timed import TimedStageTest

PACKETS = [
    IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=port) / Raw(b"x" * 50)
    for port in (53, 80, 53, 443)
]
RAW = [bytes(packet) for packet in PACKETS]


def read(path: Path) -> list[Any]:
    with PcapNgReader(str(path)) as reader:
        return list(reader)


def read_bytes(path: Path) -> list[bytes]:
    return [bytes(packet.original) for packet in read(path)]


def fail_on_write(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """From that write on, the disk is full."""
    write, calls = os.write, [0]

    def full(descriptor: int, data: bytes) -> int:
        calls[0] += 1
        if calls[0] >= number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", full)


def test_frames_are_recorded_and_pass(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    with TimedStageTest(Tap(file=path)) as test:
        assert test.feed(PACKETS[:2], towards="outbound") == RAW[:2]
        assert test.feed(PACKETS[2:], towards="inbound") == RAW[2:]
        assert test.counts["own"] == {"recorded": 4}
    assert read_bytes(path) == RAW
    assert [packet.direction for packet in read(path)] == [2, 2, 1, 1]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_batch_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []
    write = os.write

    def recorded(descriptor: int, data: bytes) -> int:
        lengths.append(len(data))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", recorded)
    with TimedStageTest(Tap(file=tmp_path / "a.pcapng")) as test:
        test.feed(PACKETS)
        test.feed(PACKETS)
    assert len(lengths) == 3  # the file header is the first


def test_a_super_packet_is_one_record(tmp_path: Path) -> None:
    big = IP(src="10.0.0.1", dst="10.0.0.2") / TCP(flags="A") / Raw(bytes(60_000))
    with TimedStageTest(Tap(file=tmp_path / "a.pcapng")) as test:
        assert len(test.feed([big], segment_size=1000)) == 60
    assert [len(packet) for packet in read_bytes(tmp_path / "a.pcapng")] == [60_040]


def test_snap_length_truncates_and_keeps_the_length(tmp_path: Path) -> None:
    with TimedStageTest(Tap(file=tmp_path / "a.pcapng", snap_length=29)) as test:
        assert test.feed(PACKETS) == RAW
    assert read_bytes(tmp_path / "a.pcapng") == [packet[:29] for packet in RAW]
    assert {packet.wirelen for packet in read(tmp_path / "a.pcapng")} == {78}


def test_recording_ends_after_count_frames(tmp_path: Path) -> None:
    with capture_logs() as logs, TimedStageTest(Tap(file=tmp_path / "a.pcapng", count=3)) as test:
        assert test.feed(PACKETS) == RAW
        assert test.feed(PACKETS) == RAW
        assert test.counts["own"] == {"recorded": 3}
    assert read_bytes(tmp_path / "a.pcapng") == RAW[:3]
    assert [log["reason"] for log in logs] == ["count reached"]


def test_a_full_file_is_rotated_or_ends_the_recording(tmp_path: Path) -> None:
    with TimedStageTest(Tap(file=tmp_path / "a.pcapng", size_bytes=1)) as test:
        test.feed(PACKETS[:1])
        test.feed(PACKETS[1:])
    assert read_bytes(tmp_path / "a.pcapng") == RAW[:1]
    with TimedStageTest(Tap(file=tmp_path / "b.pcapng", size_bytes=1, keep=2)) as test:
        for packet in PACKETS:
            test.feed([packet])
        assert test.counts["own"] == {"recorded": 4}
    assert read_bytes(tmp_path / "b.pcapng") == []
    assert read_bytes(tmp_path / "b.1.pcapng") == RAW[3:]
    assert read_bytes(tmp_path / "b.2.pcapng") == RAW[2:3]


def test_a_full_disk_drops_no_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pcapng"
    with capture_logs() as logs, TimedStageTest(Tap(file=path)) as test:
        fail_on_write(monkeypatch, 3)
        for _ in range(3):
            assert test.feed(PACKETS) == RAW
        counters = test.counts
        monkeypatch.undo()
    assert counters["own"] == {"recorded": 4, "missed": 8}
    assert (counters["failures"], counters["drops"]) == (0, {})
    assert read_bytes(path) == RAW
    assert [(log["log_level"], log["reason"]) for log in logs] == [
        ("warning", "No space left on device")
    ]


def test_start_fails_if_the_file_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Tap(file=tmp_path / "absent" / "a.pcapng").start()


def test_without_a_frame_the_file_is_an_empty_capture(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    path.write_bytes(b"old")
    with TimedStageTest(Tap(file=path)):
        assert path.read_bytes() == b"old"
    assert read(path) == []


@needs_libpcap
def test_a_filter_selects_frames(tmp_path: Path) -> None:
    with TimedStageTest(Tap(file=tmp_path / "a.pcapng", filter="udp port 53")) as test:
        assert test.feed(PACKETS) == RAW
        assert test.counts["frames"] == 2
    assert read_bytes(tmp_path / "a.pcapng") == RAW[::2]


def test_a_callback_gets_each_frame_and_may_raise() -> None:
    got: list[tuple[str, int, bytes]] = []
    tap = Tap(callback=lambda *frame: got.append(frame), snap_length=20)
    with TimedStageTest(tap) as test:
        assert test.feed(PACKETS[:2], 7) == RAW[:2]
    assert got == [("inbound", 7, packet[:20]) for packet in RAW[:2]]

    def fails(*_: object) -> None:
        raise ValueError

    with TimedStageTest(Tap(callback=fails)) as test:
        assert test.feed(PACKETS) == RAW
        assert test.counts["failures"] == 1


def test_timestamps_are_unix_time_or_the_replay_clock(tmp_path: Path) -> None:
    before = time.time_ns()
    with TimedStageTest(Tap(file=tmp_path / "a.pcapng")) as test:
        test.feed(PACKETS[:1], time.clock_gettime_ns(time.CLOCK_BOOTTIME))
    (packet,) = read(tmp_path / "a.pcapng")
    assert before - 10_000_000 <= packet.time * 1_000_000_000 <= time.time_ns() + 10_000_000
    with TimedStageTest(Tap(file=tmp_path / "b.pcapng")) as test:
        test.feed(PACKETS[:1], 5)
    (packet,) = read(tmp_path / "b.pcapng")
    assert packet.time * 1_000_000_000 == 5


def test_a_reload_continues_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    old, new = Tap(file=path), Tap(file=path)
    with TimedStageTest(old) as test:
        test.feed(PACKETS[:2])
        test.reload(new)
        test.feed(PACKETS[2:])
    assert read_bytes(path) == RAW


def test_a_reload_with_another_file_keeps_the_old_one(tmp_path: Path) -> None:
    old, new = Tap(file=tmp_path / "a.pcapng"), Tap(file=tmp_path / "b.pcapng")
    with TimedStageTest(old) as test:
        test.feed(PACKETS[:2])
        test.reload(new)
        test.feed(PACKETS[2:])
    assert read_bytes(tmp_path / "a.pcapng") == RAW[:2]
    assert read_bytes(tmp_path / "b.pcapng") == RAW[2:]


def test_invalid_options_raise() -> None:
    with pytest.raises(ValueError, match="neither a file nor a callback"):
        Tap(file=None).start()
    with pytest.raises(msgspec.ValidationError, match="keep needs size_bytes"):
        msgspec.convert({"file": None, "keep": 1}, TapOptions)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with TimedStageTest(Tap(file=tmp_path / "a.pcapng", size_bytes=100, keep=1)) as test:
            test.feed(PACKETS)
    PcapngFile(tmp_path / "a.pcapng", "tap").close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
