"""Other programs read the files, which hold whole records at any moment."""

import errno
import os
from pathlib import Path

import pytest
from scapy.layers.inet import IP
from scapy.utils import PcapNgReader, rdpcap

from pyfw.observe import pcapng
from pyfw.observe.pcapng_file import PcapngFile

IPV4 = bytes.fromhex("4500001c000040004011") + bytes(10) + bytes.fromhex("0035003500080000")
T0 = 1_700_000_000_123_456_789


def record(data: bytes = IPV4, time_ns: int = T0, length: int = 0) -> list[bytes | memoryview]:
    return list(pcapng.packet(time_ns, data, length or len(data), "inbound"))


def packets(path: Path) -> list[bytes]:
    return [bytes(packet) for packet in rdpcap(str(path))]


def test_scapy_reads_packets_times_and_lengths(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    file = PcapngFile(path, "tap")
    # Each length of padding.
    for cut in range(4):
        assert file.write(record(IPV4[: 28 - cut], T0 + cut, 28))
    file.close()
    with PcapNgReader(str(path)) as reader:
        read = list(reader)
    assert [len(packet.original) for packet in read] == [28, 27, 26, 25]
    assert [packet.wirelen for packet in read] == [28] * 4
    assert [int(packet.time * 1_000_000_000) for packet in read] == [T0, T0 + 1, T0 + 2, T0 + 3]
    assert all(IP in packet for packet in read)
    assert [packet.direction for packet in read] == [1] * 4


def test_the_same_packets_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        file = PcapngFile(tmp_path / name, "tap")
        file.write(record())
        file.close()
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_new_and_old_files_are_readable_by_the_owner_only(tmp_path: Path) -> None:
    (tmp_path / "old").touch(mode=0o644)
    for name in ("old", "new"):
        PcapngFile(tmp_path / name, "tap").close()
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_the_first_write_empties_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    path.write_bytes(b"old")
    file = PcapngFile(path, "tap")
    assert path.read_bytes() == b"old"
    file.write([])
    assert packets(path) == []
    file.close()


def test_the_write_that_reaches_the_size_fills_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    one = len(b"".join(record()))
    empty = len(pcapng.header("tap"))
    file = PcapngFile(path, "tap", size_bytes=empty + 2 * one)
    assert file.write(record())
    assert not file.write(record())
    assert len(packets(path)) == 2


def test_full_files_are_rotated_and_the_oldest_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    file = PcapngFile(path, "tap", size_bytes=1, keep=2)
    for number in range(4):
        assert file.write(record(time_ns=number))
    file.close()
    assert sorted(found.name for found in tmp_path.iterdir()) == [
        "a.1.pcapng",
        "a.2.pcapng",
        "a.pcapng",
    ]
    assert packets(path) == []
    with PcapNgReader(str(tmp_path / "a.1.pcapng")) as reader:
        assert [int(packet.time * 1_000_000_000) for packet in reader] == [3]


def test_a_full_device_raises_the_systems_error() -> None:
    with pytest.raises(OSError, match="No space left on device"):
        PcapngFile(Path("/dev/full"), "tap").write(record())


def test_a_partial_write_is_truncated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pcapng"
    file = PcapngFile(path, "tap")
    file.write(record())
    before = path.read_bytes()
    write = os.write

    def write_until_full(descriptor: int, data: bytes) -> int:
        if len(data) < 30:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, bytes(data)[:25])

    monkeypatch.setattr(os, "write", write_until_full)
    with pytest.raises(OSError, match="No space"):
        file.write(record() + record())
    assert path.read_bytes() == before
    file.close()


def test_a_pipe_can_be_written_to(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    file = PcapngFile(path, "tap")
    file.write(record())
    file.close()
    assert os.read(reading, 4096) == pcapng.header("tap") + b"".join(record())
    os.close(reading)
