"""From a case to the plan, and who the client of a capture is."""

import gzip
import os
import struct
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyfw.replay.case import Case, End, Impairment
from pyfw.replay.first_packet import first_source
from pyfw.replay.plan import Overrides, opened, plan_of, with_overrides

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
def test_no_bytes_break_it(noise: bytes, framed: bool) -> None:
    source = first_source(pcap(101, noise) if framed else noise)
    assert source is None or source.count(".") == 3 or ":" in source


def test_the_first_source_is_the_client_and_the_rest_lives_behind_the_gateway(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap(101, IPV4))
    with opened(Case(name="a", capture=str(path))) as case:
        plan = plan_of(case, "by-size")
    assert plan["ends"] == [
        {
            "name": "gateway",
            "endpoint": "192.0.2.1:51820",
            "addresses": ["0.0.0.0/0", "::/0"],
        },
        {"name": "client", "endpoint": "192.0.2.2:51820", "addresses": ["1.2.3.4/32"]},
    ]
    assert plan["rule"] == "by-size"
    assert plan["impairment"].keys() == {"gateway", "client"}
    assert not any(plan["impairment"]["client"].values())


def test_an_impairment_of_all_gives_way_to_an_ends_own() -> None:
    ends = tuple(End(name=n, endpoint=f"192.0.2.{n}:1", addresses=("::/0",)) for n in ("1", "2"))
    own = {"": Impairment(loss=0.5), "2": Impairment(delay_ms=1)}
    plan = plan_of(Case(name="a", capture="a", ends=ends, impairment=own), "ordered")
    one, two = plan["impairment"]["1"], plan["impairment"]["2"]
    assert (one["loss"], one["delay_ms"], two["loss"], two["delay_ms"]) == (0.5, 0, 0, 1)


def test_options_stand_above_the_case() -> None:
    case = Case(name="a", capture="a", mtu=1280)
    changed = with_overrides(
        case, Overrides(mtu=1400, frames="tso", impairment=Impairment(ce=1), clients=("::1/128",))
    )
    assert (changed.mtu, changed.frames, changed.impairment) == (
        1400,
        "tso",
        {"": Impairment(ce=1)},
    )
    assert changed.ends[1].addresses == ("::1/128",)
    assert with_overrides(case, Overrides()) == case
    assert not Overrides(keep=1).change_outcome()
    assert Overrides(seed=1).change_outcome()


def test_standard_input_is_passed_on_whole_after_its_first_packet_was_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = pcap(101, IPV4, *[IPV6] * 20_000)
    reading, writing = os.pipe()
    kept = os.dup(0)

    def feed() -> None:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(content)

    feeder = threading.Thread(target=feed)
    try:
        os.dup2(reading, 0)
        os.close(reading)
        feeder.start()
        with opened(Case(name="-", capture="-")) as case:
            assert case.ends[1].addresses == ("1.2.3.4/32",)
            assert Path(case.capture).read_bytes() == content
    finally:
        feeder.join()
        os.dup2(kept, 0)
        os.close(kept)


def test_an_outer_capture_needs_its_client_named() -> None:
    with (
        pytest.raises(ValueError, match="--client"),
        opened(Case(name="a", capture="a", kind="outer")),
    ):
        pass
