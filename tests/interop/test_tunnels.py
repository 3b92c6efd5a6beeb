"""pyfw.Tunnel over the real engine: many in one process, and nothing left of them."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from pyfw.lab import Network
from pyfw.lab.account import imbalances, late

_SCRIPT = [sys.executable, str(Path(__file__).with_name("two_tunnels.py"))]
_PACKETS = 2000


@pytest.fixture(scope="module")
def said() -> dict[str, Any]:
    """What the script found."""
    with Network() as network:
        told = network.client.run(*_SCRIPT, str(_PACKETS)).stdout
    found: dict[str, Any] = json.loads(told)
    return found


def test_two_tunnels_of_one_process_talk_in_order(said: dict[str, Any]) -> None:
    assert said["came"] == list(range(_PACKETS))
    assert said["receiver"]["inbound"]["left"] == _PACKETS
    assert all(said["handshakes_ns"])


@pytest.mark.parametrize("end", ["sender", "receiver"])
def test_each_of_them_accounts_for_its_packets(said: dict[str, Any], end: str) -> None:
    assert imbalances(said[end]) == []
    assert late(said[end]) == 0


def test_a_closed_tunnel_leaves_no_thread_descriptor_or_link(said: dict[str, Any]) -> None:
    assert said["threads"] > 1
    assert said["threads_left"] == 1
    left, before = said["descriptors_left"]
    assert left == before
    assert said["links_left"] == []
