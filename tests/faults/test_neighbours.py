"""A stage that hangs harms no other tunnel, neither in its process nor in another one."""

import time

import pytest

from lab import Network
from pyfw.demo.daemon_counters import drops
from pyfw.demo.transfer import TransferServer
from tests.faults.neighbours import Neighbours
from tests.faults.staged_tunnel import wait_until
from tests.faults.test_hangs import HANGS, hang_gateway, stall_drops

pytestmark = pytest.mark.alone  # the streams need their rate

MARKS = """
    import pyfw

    class Marks(pyfw.Stage):
        def process(self, batch):
            for i in range(len(batch)):
                batch.mark(i, len(batch.data(i)))
"""
# While /run/busy exists, a call of it runs Python code all the time and never returns.
BUSY = """
    from pathlib import Path
    import pyfw

    class Busy(pyfw.Stage):
        def process(self, batch):
            while Path("/run/busy").exists():
                pass
"""
FILES = {"stage.py": HANGS, "marks.py": MARKS, "busy.py": BUSY}
SETTINGS = {
    "wg1": '[[stages]]\nuse = "stage.py:It"\nstall_s = 0\n',
    "wg2": "threads = 2\n",
    # A limit shorter than the time that these will wait.
    "wg3": '[[stages]]\nuse = "marks.py:Marks"\nstall_s = 0.5\n',
    "wg4": '[[stages]]\nuse = "marks.py:Marks"\nstall_s = 0.5\n',
}
_BYTES = 64 << 20
OTHERS = ("wg2", "wg3", "wg4")
"""A tunnel without a stage; one with a stage in the same process; one with a stage in another process."""


@pytest.fixture
def neighbours(network: Network) -> Neighbours:
    return Neighbours(network, SETTINGS, FILES, separate="wg4")


def hang(neighbours: Neighbours, kind: str, seconds: float) -> None:
    hang_gateway(neighbours.network, kind, seconds)


@pytest.mark.parametrize("kind", ["sleep", "loop"])
def test_a_hang_in_one_tunnel_loses_nothing_in_another(neighbours: Neighbours, kind: str) -> None:
    streams = {name: neighbours.stream(name) for name in ("wg1", *OTHERS)}
    for stream in streams.values():
        stream.__enter__()
    hang(neighbours, kind, 2)
    wait_until(lambda: neighbours.events("stage.stall_over", "wg1"), 5)
    time.sleep(0.3)
    for stream in streams.values():
        stream.stop()
    assert streams["wg1"].up.lost > 500
    for name in OTHERS:
        neighbours.assert_unharmed(name, streams[name])
        assert not neighbours.events("stage.", name)
        assert not any("stage" in reason for reason in drops(neighbours.counters(name)))
    neighbours.assert_conserved()


def test_a_held_gil_stops_only_tunnels_with_stages(
    neighbours: Neighbours,
) -> None:
    streams = {name: neighbours.stream(name) for name in ("wg1", *OTHERS)}
    for stream in streams.values():
        stream.__enter__()
    before = {name: neighbours.handshake_s(name) for name in OTHERS}
    hang(neighbours, "hold", 3)
    wait_until(lambda: neighbours.events("stage.stall_over", "wg3"), 8)
    time.sleep(0.3)
    for stream in streams.values():
        stream.stop()
    for name in ("wg2", "wg4"):
        neighbours.assert_unharmed(name, streams[name])
    # It waited longer than its own stage may take, but no stage of its own is to blame.
    (stalled,) = neighbours.events("stage.stalled", "wg3")
    assert stalled["stage"] == "(waiting for the interpreter)"
    waiting = streams["wg3"]
    lost = {"inbound": waiting.up.lost, "outbound": waiting.down.lost}
    assert stall_drops(neighbours.counters("wg3")) == lost
    assert min(lost.values()) > 1000
    for way in (waiting.up, waiting.down):
        assert (len(way.lost_ranges), way.out_of_order) == (1, 0), way
    assert {name: neighbours.handshake_s(name) for name in OTHERS} == before
    assert not neighbours.events("stage.removed", "wg3")
    assert neighbours.counters("wg3")["stages"]["stages"]["Marks"]["failures"] == 0
    neighbours.assert_conserved()


def test_a_stage_that_waits_for_the_gil_in_a_call_is_not_removed(network: Network) -> None:
    busy = '[[stages]]\nuse = "busy.py:Busy"\nstall_s = 0.5\n'
    neighbours = Neighbours(network, {"wg1": SETTINGS["wg1"], "wg3": busy}, FILES)
    begun = neighbours.handshake_s("wg3")
    with neighbours.stream("wg1") as hung, neighbours.stream("wg3") as waiting:
        # Both at once: wg3 is in the middle of its call when wg1 takes the GIL and does not return.
        network.gateway.write("/run/busy", "")
        hang(neighbours, "hold", 2)
        network.gateway.run("rm", "/run/busy")
        wait_until(lambda: neighbours.events("stage.stall_over", "wg3"), 8)
        time.sleep(0.3)
    (stalled,) = neighbours.events("stage.stalled", "wg3")
    # Logged after 250 ms, which may be before the wait for the GIL is recognised.
    assert stalled["stage"] in ("Busy", "(waiting for the interpreter)")
    (over,) = neighbours.events("stage.stall_over", "wg3")
    assert over["for_ms"] > 1500
    assert waiting.up.lost > 500 and len(waiting.up.lost_ranges) == 1, waiting
    assert hung.up.lost > 500, hung
    assert neighbours.handshake_s("wg3") == begun
    assert not neighbours.events("tunnel.ended", "wg3")
    neighbours.assert_conserved()


def test_a_held_gil_does_not_stop_a_tunnel_without_stages(network: Network) -> None:
    settings = {"wg1": SETTINGS["wg1"], "wg2": "", "wg3": SETTINGS["wg3"]}
    neighbours = Neighbours(network, settings, FILES)
    begun = neighbours.handshake_s("wg3")
    serving = TransferServer(network.gateway, neighbours.address("wg2", "gateway"))
    trigger = "echo x > /dev/udp/10.1.0.2/9"
    hang_gateway(network, "hold", 10, trigger=trigger)
    held_at = time.monotonic()
    transfers = [serving.transfer(network.client, way, _BYTES) for way in ("up", "down")]
    assert time.monotonic() - held_at < 10, "the hang ended too early"
    assert all(transfer.sha256_equal for transfer in transfers)
    assert not neighbours.events("stage.", "wg1"), "a line was logged without the GIL"
    wait_until(lambda: neighbours.events("stage.stall_over", "wg1"), 15)
    (over,) = neighbours.events("stage.stall_over", "wg1")
    assert over["for_ms"] > 9500
    counters = neighbours.counters("wg2")
    assert "stages" not in counters
    # A tunnel that needs the GIL keeps its session and continues with it.
    with neighbours.stream("wg3") as stream:
        time.sleep(0.5)
    neighbours.assert_unharmed("wg3", stream)
    assert neighbours.handshake_s("wg3") == begun
    neighbours.assert_conserved()
