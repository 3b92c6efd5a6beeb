"""Preparing cases: overrides, and the client of a capture."""

import gzip
import os
import struct
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyfw import _native
from pyfw.replay.case import Case, End, Impairment
from pyfw.replay.client_address import first_source
from pyfw.replay.prepare import CaseOverrides, apply_overrides, prepared

IPV4 = bytes.fromhex("45000014000040004001000001020304c0000201")
IPV6 = bytes.fromhex("60000000 0000 3b40") + bytes(15) + b"\x07" + bytes(16)
ARP = bytes(12) + b"\x08\x06" + bytes(28)


def pcap(link: int, *packets: bytes, order: str = "<", magic: int = 0xA1B2_C3D4) -> bytes:
    parts = [struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 262_144, link)]
    for packet in packets:
        parts += [struct.pack(f"{order}4I", 1, 2, len(packet), len(packet)), packet]
    return b"".join(parts)


def pcapng(link: int, packet: bytes, order: str) -> bytes:
    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        size = struct.pack(f"{order}I", len(body) + 12)
        return struct.pack(f"{order}I", kind) + size + body + size

    head = block(0x0A0D_0D0A, struct.pack(f"{order}IHHq", 0x1A2B_3C4D, 1, 0, -1))
    interface = block(1, struct.pack(f"{order}HHI", link, 0, 0))
    body = struct.pack(f"{order}5I", 0, 0, 0, len(packet), len(packet)) + packet
    return head + interface + block(6, body)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("magic", [0xA1B2_C3D4, 0xA1B2_3C4D])
@pytest.mark.parametrize(
    ("link", "before"),
    [
        (101, b""),
        (1, bytes(12) + b"\x08\x00"),
        (1, bytes(12) + b"\x81\x00\x00\x05\x08\x00"),
        (113, bytes(14) + b"\x08\x00"),
        (276, b"\x08\x00" + bytes(18)),
        (0, b"\x02\x00\x00\x00"),
    ],
)
def test_the_first_ip_packet_of_any_link_is_found(
    link: int, before: bytes, order: str, magic: int
) -> None:
    first = [ARP] if link == 1 else []
    assert first_source(pcap(link, *first, before + IPV4, order=order, magic=magic)) == "1.2.3.4"
    assert first_source(pcapng(link, before + IPV4, order)) == "1.2.3.4"


def test_ipv6_and_gzip_are_read() -> None:
    assert first_source(gzip.compress(pcap(101, IPV6))) == "::7"


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_give_an_address_or_none(noise: bytes, framed: bool) -> None:
    source = first_source(pcap(101, noise) if framed else noise)
    assert source is None or source.count(".") == 3 or ":" in source


def test_the_first_source_is_the_client(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap(101, IPV4))
    with prepared(Case(name="a", capture=str(path))) as case:
        assert case.ends == (
            End(name="gateway", endpoint="192.0.2.1:51820", addresses=("0.0.0.0/0", "::/0")),
            End(name="client", endpoint="192.0.2.2:51820", addresses=("1.2.3.4/32",)),
        )


def test_an_impairment_of_one_end_replaces_the_common_one(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap(101, IPV4))
    lossy = {"": Impairment(loss=1), "client": Impairment(delay_ms=1)}
    with prepared(Case(name="a", capture=str(path), impairment=lossy)) as case:
        # Handshakes before the first packet pass, and the client's packet is not lost.
        counters = _native.replay(case)["ends"]["gateway"]["counters"]
    assert counters["datagrams"]["data"] == 1
    with prepared(Case(name="a", capture=str(path), impairment={"": Impairment(loss=1)})) as case:
        counters = _native.replay(case)["ends"]["gateway"]["counters"]
    assert counters["datagrams"]["data"] == 0


def test_options_override_the_case() -> None:
    case = Case(name="a", capture="a", mtu=1280)
    changed = apply_overrides(
        case,
        CaseOverrides(mtu=1400, frames="tso", impairment=Impairment(ce=1), clients=("::1/128",)),
    )
    assert (changed.mtu, changed.frames, changed.impairment) == (
        1400,
        "tso",
        {"": Impairment(ce=1)},
    )
    assert changed.ends[1].addresses == ("::1/128",)
    assert apply_overrides(case, CaseOverrides()) == case
    assert not CaseOverrides(keep=1).change_result()
    assert CaseOverrides(seed=1).change_result()


def test_standard_input_is_passed_on_completely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = pcap(101, IPV4, *[IPV6] * 20_000)
    reading, writing = os.pipe()
    saved = os.dup(0)

    def feed() -> None:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(content)

    feeder = threading.Thread(target=feed)
    try:
        os.dup2(reading, 0)
        os.close(reading)
        feeder.start()
        with prepared(Case(name="-", capture="-")) as case:
            assert case.ends[1].addresses == ("1.2.3.4/32",)
            assert Path(case.capture).read_bytes() == content
    finally:
        feeder.join()
        os.dup2(saved, 0)
        os.close(saved)


def test_an_outer_capture_needs_a_client_option() -> None:
    with (
        pytest.raises(ValueError, match="--client"),
        prepared(Case(name="a", capture="a", kind="outer")),
    ):
        pass
