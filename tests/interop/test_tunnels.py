"""pyfw.Tunnel over the real engine: many in one process, and nothing left of them."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from scapy.utils import RawPcapNgReader

from lab import Network
from pyfw.demo.counter_checks import imbalances, late

_SCRIPT = [sys.executable, str(Path(__file__).with_name("two_tunnels.py"))]
_PACKETS = 2000


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the script found."""
    capture = tmp_path_factory.mktemp("capture") / "sender.pcapng"
    with Network() as network:
        told = network.client.run(*_SCRIPT, str(_PACKETS), str(capture)).stdout
    found: dict[str, Any] = json.loads(told)
    return found | {"capture": capture}


def test_two_tunnels_of_one_process_talk_in_order(said: dict[str, Any]) -> None:
    assert said["came"] == list(range(_PACKETS))
    assert said["receiver"]["inbound"]["left"] == _PACKETS
    assert all(said["handshakes_ns"])


@pytest.mark.parametrize("end", ["sender", "receiver"])
def test_each_of_them_accounts_for_its_packets(said: dict[str, Any], end: str) -> None:
    assert imbalances(said[end]) == []
    assert late(said[end]) == 0


def test_counters_of_a_tunnel_without_stages_have_these_keys(said: dict[str, Any]) -> None:
    keys = ["outbound", "inbound", "datagrams", "handshake_drops", "gso", "tun_queue_drops"]
    assert list(said["sender"]) == keys


def test_repr_shows_no_key(said: dict[str, Any]) -> None:
    assert "private_key=(hidden)" in said["repr"]
    assert "received_bytes=" in said["repr"]
    assert not [key for key in said["keys"] if str(bytes.fromhex(key))[2:-1] in said["repr"]]


def test_a_closed_tunnel_leaves_no_thread_descriptor_or_link(said: dict[str, Any]) -> None:
    assert said["threads"] > 1
    assert said["threads_left"] == 1
    left, before = said["descriptors_left"]
    assert left == before
    assert said["links_left"] == []


def test_a_capture_has_every_packet_at_each_point_in_order(said: dict[str, Any]) -> None:
    seen: dict[str, list[bytes]] = {"tun": [], "stages": [], "udp": []}
    with RawPcapNgReader(str(said["capture"])) as reader:
        for data, about in reader:
            seen[about.ifname.decode()].append(data)
    assert said["captured"] == {
        "written": sum(map(len, seen.values())),
        "lost": 0,
        "error": None,
    }
    for point in ("tun", "stages"):
        numbers = [int.from_bytes(data[20:24], "big") for data in seen[point] if data[9] == 253]
        assert numbers == list(range(_PACKETS)), point
    # Type 4 behind the IP and UDP headers; keepalives are 32 bytes long.
    sealed = [data[28:] for data in seen["udp"] if data[28] == 4 and len(data) > 60]
    counters = [int.from_bytes(data[8:16], "little") for data in sealed]
    assert len(counters) == said["sender"]["outbound"]["left"]
    assert counters == sorted(counters)
    assert said["capture"].stat().st_mode & 0o777 == 0o600
