"""Stages exchanged under traffic: nothing is lost, nothing overtakes, and what they knew goes on."""

import json
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from lab import TUNNEL, Daemon, Implementation, Pair, Stream, pyfw_run
from lab.measure import Datagrams, MeasuredTunnel
from tests.interop.conftest import MakePair
from tests.interop.invariants import drops_text, settled_counters

_FILE = "/run/counting.py"
_SETTINGS = f'[[stages]]\nuse = "{_FILE}:Counting"\n'
_RELOADS = 20
# What two scripts send and take each way and leave a processor for who reloads: beyond it, the kernel's queue
# at the TUN overflows (500 packets) for want of one, with reloads or without.
_SCRIPTS_PER_SECOND = 5000
# Holds one frame of each batch for a moment, so that some are held whenever it is exchanged.
_SOURCE = '''
import pyfw


class Counting(pyfw.Stage):
    """Version {version}."""

    seen = 0
    held = ()

    def process(self, batch):
        self.seen += len(batch)
        for frame in self.held:
            self.emit(frame)
        self.held = [frame for frame in [batch.hold(len(batch) - 1)] if frame is not None]
        self.wake_at(batch.now_ns + 2_000_000)
        self.count("version_{version}", len(batch))

    def tick(self, now_ns):
        for frame in self.held:
            self.emit(frame)
        self.held = ()

    def handover(self):
        return self.seen, self.held

    def takeover(self, state):
        self.seen, self.held = state
        self.count("taken_over")
'''


def counting(threads: int = 1) -> Callable[[], Implementation]:
    return lambda: pyfw_run(f"threads = {threads}\n{_SETTINGS}")


def write(pair: Pair, text: str) -> None:
    """Both machines' stage; in one step, as editors do."""
    for daemon in pair.daemons:
        daemon.at.write(f"{_FILE}.new", text)
        daemon.at.run("mv", f"{_FILE}.new", _FILE)


def messages(daemon: Daemon, message: str) -> list[dict[str, Any]]:
    lines = [line for line in daemon.process.output().splitlines() if line.startswith("{")]
    return [line for line in map(json.loads, lines) if line["message"] == message]


def reload(pair: Pair, message: str, count: int) -> None:
    for daemon in pair.daemons:
        daemon.process.signal(signal.SIGHUP)
    for daemon in pair.daemons:
        deadline = time.monotonic() + 10
        while len(messages(daemon, message)) < count:
            assert time.monotonic() < deadline, daemon.process.output()
            time.sleep(0.005)


@pytest.fixture
def version_0(network: Any) -> None:
    """The stage's file has to be there when the daemons start."""
    for machine in (network.client, network.gateway):
        machine.write(_FILE, _SOURCE.format(version=0))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.usefixtures("version_0")
def test_twenty_reloads_under_a_fifth_of_the_capacity_lose_and_reorder_nothing(
    make_pair: MakePair, threads: int
) -> None:
    pair = make_pair(counting(threads), counting(threads))
    pair.first_ping_ms()
    capacity = Datagrams(200).run(MeasuredTunnel(pair), 1.0).values["received_s"]
    each_way = min(int(capacity / 5 / 2), _SCRIPTS_PER_SECOND)
    addresses = (TUNNEL[side].v4 for side in ("client", "gateway"))
    before = [settled_counters(daemon) for daemon in pair.daemons]
    ends = pair.network.client, pair.network.gateway
    with Stream(*ends, *addresses, per_second=each_way) as stream:
        for number in range(1, _RELOADS + 1):
            write(pair, _SOURCE.format(version=number))
            reload(pair, "reload.applied", number)
    for way in (stream.up, stream.down):
        assert (way.lost, way.out_of_order, way.duplicated) == (0, 0, 0), (stream, drops_text(pair))
        assert way.sent > 1000, stream
    for daemon, earlier in zip(pair.daemons, before, strict=True):
        after = settled_counters(daemon)
        own = after["stages"]["stages"]["Counting"]["own"]
        assert own["taken_over"] == _RELOADS
        assert set(own) == {"taken_over", *(f"version_{n}" for n in range(_RELOADS + 1))}
        assert after["stages"]["stages"]["Counting"]["drops"] == {}
        for direction in ("inbound", "outbound"):
            # What has no route is the kernel's own multicast.
            now, then = ({**told[direction]["drops"], "no_route": 0} for told in (after, earlier))
            assert now == then, daemon.at.name


@pytest.mark.usefixtures("version_0")
def test_a_version_that_is_wrong_leaves_the_old_one_running(make_pair: MakePair) -> None:
    pair = make_pair(counting(), counting())
    pair.first_ping_ms()
    addresses = (TUNNEL[side].v4 for side in ("client", "gateway"))
    wrong = {
        "class Counting(:\n": "SyntaxError",
        "raise SystemExit(1)\n": "SystemExit",
        "import pyfw\nclass Counting(pyfw.Stage):\n    def start(self): raise OSError('no')\n": "no",
        _SOURCE.format(version=1).replace("self.seen, self.held = state", "1 / 0"): "ZeroDivision",
    }
    with Stream(pair.network.client, pair.network.gateway, *addresses) as stream:
        for count, (text, word) in enumerate(wrong.items(), start=1):
            write(pair, text)
            reload(pair, "reload.refused", count)
            for daemon in pair.daemons:
                refused = messages(daemon, "reload.refused")[-1]["reason"]
                assert _FILE in refused and word in refused, refused
    for way in (stream.up, stream.down):
        assert (way.lost, way.out_of_order, way.duplicated) == (0, 0, 0), stream
    own = pair.gateway.counters()["stages"]["stages"]["Counting"]["own"]
    assert set(own) == {"version_0"}


@pytest.mark.usefixtures("version_0")
def test_a_changed_file_is_read_without_a_signal_where_that_was_asked_for(
    make_pair: MakePair,
) -> None:
    def watching() -> Implementation:
        made = counting()()
        return Implementation(
            made.name, (*made.command, "--reload"), by_setconf=False, settings=made.settings
        )

    pair = make_pair(watching, watching)
    pair.first_ping_ms()
    write(pair, _SOURCE.format(version=1))
    deadline = time.monotonic() + 10
    while not messages(pair.gateway, "reload.applied"):
        assert time.monotonic() < deadline, pair.gateway.process.output()
        time.sleep(0.05)
    pair.first_ping_ms()
    assert "version_1" in pair.gateway.counters()["stages"]["stages"]["Counting"]["own"]
