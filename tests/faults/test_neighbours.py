"""What a stage does to its own tunnel, it does to no other: not in its process, not beside it."""

import time

import pytest

from lab import Network
from pyfw.demo.daemon_counters import drops
from pyfw.demo.transfer import TransferServer
from tests.faults.neighbours import Neighbours
from tests.faults.staged_tunnel import wait_until
from tests.faults.test_hangs import HANGS, ask_to_hang, stalled

WELL = """
    import pyfw

    class Well(pyfw.Stage):
        def process(self, batch):
            for i in range(len(batch)):
                batch.mark(i, len(batch.data(i)))
"""
RAISES = """
    import pyfw

    class It(pyfw.Stage):
        def process(self, batch):
            raise ValueError
"""
# In the middle of a call whenever it is asked to be, and running: only Python's own switching stops it.
BUSY = """
    from pathlib import Path
    import pyfw

    class Busy(pyfw.Stage):
        def process(self, batch):
            while Path("/run/busy").exists():
                pass
"""
FILES = {"stage.py": HANGS, "well.py": WELL, "raises.py": RAISES, "busy.py": BUSY}
SETTINGS = {
    "wg1": '[[stages]]\nuse = "stage.py:It"\nstall_s = 0\n',
    "wg2": "threads = 2\n",
    # Stricter than what it will have to wait.
    "wg3": '[[stages]]\nuse = "well.py:Well"\nstall_s = 0.5\n',
    "wg4": '[[stages]]\nuse = "well.py:Well"\nstall_s = 0.5\n',
}
_BYTES = 256 << 20
OTHERS = ("wg2", "wg3", "wg4")
"""Without a stage; with one in the same process; with one in another process."""


@pytest.fixture
def neighbours(network: Network) -> Neighbours:
    return Neighbours(network, SETTINGS, FILES, apart="wg4")


def hang(neighbours: Neighbours, kind: str, seconds: float) -> None:
    ask_to_hang(neighbours.network, kind, seconds)


@pytest.mark.parametrize("kind", ["sleep", "loop"])
def test_a_hang_in_one_tunnel_loses_nothing_in_another(neighbours: Neighbours, kind: str) -> None:
    streams = {name: neighbours.stream(name) for name in ("wg1", *OTHERS)}
    for stream in streams.values():
        stream.__enter__()
    hang(neighbours, kind, 2)
    wait_until(lambda: neighbours.said("stage.stall_over", "wg1"), 5)
    time.sleep(0.3)
    for stream in streams.values():
        stream.stop()
    assert streams["wg1"].up.lost > 1000
    for name in OTHERS:
        for way in (streams[name].up, streams[name].down):
            assert (way.lost, way.out_of_order, way.duplicated) == (0, 0, 0), (name, way)
        assert not neighbours.said("stage.", name)
        assert not any("stage" in reason for reason in drops(neighbours.counters(name)))
    neighbours.judge()


def test_with_the_interpreter_held_who_needs_it_waits_and_who_does_not_goes_on(
    neighbours: Neighbours,
) -> None:
    streams = {name: neighbours.stream(name) for name in ("wg1", *OTHERS)}
    for stream in streams.values():
        stream.__enter__()
    before = {name: neighbours.handshake_s(name) for name in OTHERS}
    hang(neighbours, "hold", 3)
    wait_until(lambda: neighbours.said("stage.stall_over", "wg3"), 8)
    time.sleep(0.3)
    for stream in streams.values():
        stream.stop()
    for name in ("wg2", "wg4"):
        for way in (streams[name].up, streams[name].down):
            assert (way.lost, way.out_of_order, way.duplicated) == (0, 0, 0), (name, way)
    # It waited longer than its own stage may take, but that was not its stage's doing.
    (told,) = neighbours.said("stage.stalled", "wg3")
    assert told["stage"] == "(waiting for the interpreter)"
    waited = streams["wg3"]
    lost = {"inbound": waited.up.lost, "outbound": waited.down.lost}
    assert stalled(neighbours.counters("wg3")) == lost
    assert min(lost.values()) > 2000
    for way in (waited.up, waited.down):
        assert (len(way.lost_ranges), way.out_of_order) == (1, 0), way
    assert {name: neighbours.handshake_s(name) for name in OTHERS} == before
    assert not neighbours.said("stage.removed", "wg3")
    assert neighbours.counters("wg3")["stages"]["stages"]["Well"]["failures"] == 0
    neighbours.judge()


def test_a_stage_that_is_kept_out_in_the_middle_of_a_call_is_not_blamed(network: Network) -> None:
    busy = '[[stages]]\nuse = "busy.py:Busy"\nstall_s = 0.5\n'
    neighbours = Neighbours(network, {"wg1": SETTINGS["wg1"], "wg3": busy}, FILES)
    begun = neighbours.handshake_s("wg3")
    with neighbours.stream("wg1") as hung, neighbours.stream("wg3") as kept_out:
        # What both do is asked for at once: wg3 turns in its call by the time that wg1 does not return.
        network.gateway.write("/run/busy", "")
        hang(neighbours, "hold", 2)
        network.gateway.run("rm", "/run/busy")
        wait_until(lambda: neighbours.said("stage.stall_over", "wg3"), 8)
        time.sleep(0.3)
    (told,) = neighbours.said("stage.stalled", "wg3")
    # As it looks at 250 ms, before or after it is clear who is waited for.
    assert told["stage"] in ("Busy", "(waiting for the interpreter)")
    (over,) = neighbours.said("stage.stall_over", "wg3")
    assert over["for_ms"] > 1500
    assert kept_out.up.lost > 1000 and len(kept_out.up.lost_ranges) == 1, kept_out
    assert hung.up.lost > 1000, hung
    assert neighbours.handshake_s("wg3") == begun
    assert not neighbours.said("tunnel.ended", "wg3")
    neighbours.judge()


def test_with_the_interpreter_held_for_ten_seconds_a_tunnel_without_stages_is_as_fast_as_before(
    network: Network, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"wg1": SETTINGS["wg1"], "wg2": "", "wg3": SETTINGS["wg3"]}
    neighbours = Neighbours(network, settings, FILES)
    begun = neighbours.handshake_s("wg3")
    serving = TransferServer(network.gateway, neighbours.address("wg2", "gateway"))
    before = serving.transfer(network.client, "up", _BYTES)
    hang_by = "echo x > /dev/udp/10.1.0.2/9"
    ask_to_hang(network, "hold", 10, by=hang_by)
    held_at = time.monotonic()
    transfers = [serving.transfer(network.client, way, _BYTES) for way in ("up", "down")]
    assert time.monotonic() - held_at < 10, "it was while it lasted"
    assert all(transfer.sha256_equal for transfer in (before, *transfers))
    assert not neighbours.said("stage.", "wg1"), "nobody could say anything"
    ratio = transfers[0].gbit_s / before.gbit_s
    with capsys.disabled():
        print(f"\nheld: {transfers[0].gbit_s:.2f} Gbit/s, {ratio:.2f} of before")
    wait_until(lambda: neighbours.said("stage.stall_over", "wg1"), 15)
    (over,) = neighbours.said("stage.stall_over", "wg1")
    assert over["for_ms"] > 9500
    counters = neighbours.counters("wg2")
    assert "stages" not in counters
    # Who needs the interpreter keeps its session, and goes on with it.
    with neighbours.stream("wg3") as stream:
        time.sleep(0.5)
    assert (stream.up.lost, stream.down.lost) == (0, 0), stream
    assert neighbours.handshake_s("wg3") == begun
    neighbours.judge()
