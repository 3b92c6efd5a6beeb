"""The queue in front of the tunnel: short while it is busy, where that is asked for; its drops are told."""

import json
import time

from lab import pyfw_run
from lab.measure import Datagrams, Flows, Subject
from pyfw.demo.daemon import INTERFACE
from pyfw.demo.namespace import Namespace
from tests.interop.conftest import MakePair

_KERNELS = 500
_SHORTEST = 16


def queue_length(machine: Namespace) -> int:
    (link,) = json.loads(machine.run("ip", "-json", "link", "show", "dev", INTERFACE).stdout)
    length: int = link["txqlen"]
    return length


def test_under_load_it_is_short_and_afterwards_a_burst_finds_room(make_pair: MakePair) -> None:
    pair = make_pair(lambda: pyfw_run("tun_queue_ms = 1"), pyfw_run)
    pair.first_ping_ms()
    client = pair.network.client
    assert queue_length(client) == _KERNELS
    Flows(up=8, down=0).run(Subject(pair), 2.5)
    assert _SHORTEST <= queue_length(client) < _KERNELS
    deadline = time.monotonic() + 10
    while queue_length(client) != _KERNELS:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_what_it_has_no_room_for_is_told(make_pair: MakePair) -> None:
    pair = make_pair(pyfw_run, pyfw_run)
    pair.first_ping_ms()
    # No room at all but for one, so that a flood finds none.
    pair.network.client.ip("link", "set", "dev", INTERFACE, "txqueuelen", "1")
    Datagrams(64).run(Subject(pair), 0.3)
    dropped = pair.network.client.counters().interfaces[INTERFACE]["out_drops"]
    assert dropped > 0
    assert pair.client.counters()["tun_queue_drops"] == dropped
