"""pyfw.Tunnel with the real engine: several in one process, and a clean end."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from scapy.utils import RawPcapNgReader

from lab import Network
from lab.counter_checks import imbalances
from pyfw.demo.daemon_counters import late

_SCRIPT = [sys.executable, str(Path(__file__).with_name("two_tunnels.py"))]
_PACKETS = 2000


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report of two_tunnels.py."""
    capture = tmp_path_factory.mktemp("capture") / "sender.pcapng"
    with Network() as network:
        output = network.client.run(*_SCRIPT, str(_PACKETS), str(capture)).stdout
    found: dict[str, Any] = json.loads(output)
    return found | {"capture": capture}


def test_packets_between_two_tunnels_arrive_in_order(report: dict[str, Any]) -> None:
    assert report["received"] == list(range(_PACKETS))
    assert report["receiver"]["inbound"]["left"] == _PACKETS
    assert all(report["handshakes_ns"])


@pytest.mark.parametrize("end", ["sender", "receiver"])
def test_each_tunnel_accounts_for_its_packets(report: dict[str, Any], end: str) -> None:
    assert imbalances(report[end]) == []
    assert late(report[end]) == 0


def test_counters_of_a_tunnel_without_stages_have_these_keys(report: dict[str, Any]) -> None:
    keys = ["outbound", "inbound", "datagrams", "handshake_drops", "gso", "tun_queue_drops"]
    assert list(report["sender"]) == keys


def test_repr_shows_no_key(report: dict[str, Any]) -> None:
    assert "private_key=(hidden)" in report["repr"]
    assert "received_bytes=" in report["repr"]
    assert not [key for key in report["keys"] if str(bytes.fromhex(key))[2:-1] in report["repr"]]


def test_a_closed_tunnel_leaves_no_thread_or_descriptor(report: dict[str, Any]) -> None:
    assert report["threads"] > 1
    assert report["threads_left"] == 1
    left, before = report["descriptors_left"]
    assert left == before
    assert report["links_left"] == []


def test_a_capture_has_all_packets_in_order(report: dict[str, Any]) -> None:
    seen: dict[str, list[bytes]] = {"tun": [], "stages": [], "udp": []}
    with RawPcapNgReader(str(report["capture"])) as reader:
        for data, about in reader:
            seen[about.ifname.decode()].append(data)
    assert report["captured"] == {
        "written": sum(map(len, seen.values())),
        "lost": 0,
        "error": None,
    }
    for point in ("tun", "stages"):
        numbers = [int.from_bytes(data[20:24], "big") for data in seen[point] if data[9] == 253]
        assert numbers == list(range(_PACKETS)), point
    # Type 4 after the IP and UDP headers; keepalives have 32 bytes.
    sealed = [data[28:] for data in seen["udp"] if data[28] == 4 and len(data) > 60]
    counters = [int.from_bytes(data[8:16], "little") for data in sealed]
    assert len(counters) == report["sender"]["outbound"]["left"]
    assert counters == sorted(counters)
    assert report["capture"].stat().st_mode & 0o777 == 0o600
