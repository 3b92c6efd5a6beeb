"""The queue in front of the tunnel: the kernel's drops are shown."""

from lab import pyfw_run
from lab.measure import Datagrams, MeasuredTunnel
from pyfw.demo.daemon import INTERFACE
from tests.interop.conftest import MakePair


def test_frames_dropped_at_the_tun_are_counted(make_pair: MakePair) -> None:
    pair = make_pair(pyfw_run, pyfw_run)
    pair.first_ping_ms()
    # Room for one frame, so that a flood finds none.
    pair.network.client.ip("link", "set", "dev", INTERFACE, "txqueuelen", "1")
    Datagrams(64).run(MeasuredTunnel(pair), 0.3)
    dropped = pair.network.client.counters().interfaces[INTERFACE]["out_drops"]
    assert dropped > 0
    assert pair.client.counters()["tun_queue_drops"] == dropped
