"""Twenty reloads of a stage under traffic: nothing is lost, nothing is out of order."""

import time

import pytest

from lab import Stream
from pyfw.demo.daemon_counters import drops
from tests.faults.conftest import MakeTunnel
from tests.faults.staged_tunnel import StagedTunnel, wait_until
from tests.interop.invariants import queue_drops

threads = pytest.mark.parametrize("threads", [1, 2])

_RELOADS = 20
_PER_SECOND = 5000
"""In each direction, of 200 B: below a fifth of the tunnel's capacity, and what two scripts can send."""

_MIN_PER_VERSION = 50
"""Half of what is sent in the 0.02 s that a version runs at least."""

COUNTS = """
    import pyfw

    VERSION = %d

    class It(pyfw.Stage):
        seen = 0

        def process(self, batch):
            self.seen += sum(batch.segments)
            self.count(f"version_{VERSION %% 2}", len(batch))

        def handover(self):
            return {"seen": self.seen, "versions": [*getattr(self, "versions", []), VERSION]}

        def takeover(self, state):
            self.seen, self.versions = state["seen"], state["versions"]

        def stop(self):
            self.log.info("it.stopped", seen=self.seen, version=VERSION)
"""

HOLDS = """
    import pyfw

    VERSION = %d

    class It(pyfw.Stage):
        tick_ms = 20

        def __init__(self, options):
            super().__init__(options)
            self.held = []

        def process(self, batch):
            for i in range(len(batch)):
                self.held.append(batch.hold(i))

        def tick(self, now_ns):
            held, self.held = self.held, []
            for frame in held:
                self.emit(frame)

        def handover(self):
            self.count("handed_over", len(self.held))
            return self.held

        def takeover(self, state):
            self.held = state
"""


def assert_stream(tunnel: StagedTunnel, stream: Stream) -> None:
    tunnel.assert_unharmed(stream)
    assert min(stream.up.sent, stream.down.sent) > _RELOADS * _MIN_PER_VERSION, stream
    counts = tunnel.stage_counts
    assert (counts["failures"], counts["drops"], counts["is_out"]) == (0, {}, False)


def reload_all(tunnel: StagedTunnel, source: str) -> None:
    for version in range(1, _RELOADS + 1):
        assert tunnel.reload(source % version), version
        time.sleep(0.02)


@threads
def test_reloads_by_sighup_lose_no_frame(make_tunnel: MakeTunnel, threads: int) -> None:
    tunnel = make_tunnel(COUNTS % 0, threads=threads)
    tunnel.ping()
    with tunnel.stream(_PER_SECOND) as stream:
        reload_all(tunnel, COUNTS)
    assert_stream(tunnel, stream)
    counts = tunnel.stage_counts
    # The slot keeps its counters across versions.
    assert counts["own"]["version_0"] + counts["own"]["version_1"] == counts["frames"]
    assert min(counts["own"].values()) > 0
    stopped = tunnel.events("it.stopped")
    assert [line["version"] for line in stopped] == list(range(_RELOADS))
    seen = [line["seen"] for line in stopped]
    assert seen == sorted(seen) and seen[-1] > seen[0]
    assert tunnel.reload(COUNTS % 99)
    # The count that was handed over twenty times equals that of the path.
    assert tunnel.events("it.stopped")[-1]["seen"] == tunnel.stage_counts["segments"]


@threads
def test_held_frames_survive_reloads_by_sighup(make_tunnel: MakeTunnel, threads: int) -> None:
    tunnel = make_tunnel(HOLDS % 0, threads=threads)
    tunnel.ping()
    with tunnel.stream(_PER_SECOND) as stream:
        reload_all(tunnel, HOLDS)
    assert_stream(tunnel, stream)
    counts = tunnel.stage_counts
    assert counts["own"]["handed_over"] > _RELOADS
    assert (counts["held_frames"], counts["created"]) == (0, 0)


def test_run_reload_follows_changes_of_the_file(make_tunnel: MakeTunnel) -> None:
    tunnel = make_tunnel(COUNTS % 0, options=("--reload",))
    tunnel.ping()
    with tunnel.stream(_PER_SECOND) as stream:
        for version in range(1, 6):
            tunnel.rewrite(COUNTS % version)
            wait_until(lambda: len(tunnel.events("reload.applied")) == version, 5)  # noqa: B023
        tunnel.rewrite("def broken(:\n")
        wait_until(lambda: tunnel.events("reload.refused"), 5)
        frames = tunnel.stage_counts["frames"]
        wait_until(lambda: tunnel.stage_counts["frames"] > frames, 5)
        tunnel.rewrite(COUNTS % 6)
        wait_until(lambda: len(tunnel.events("reload.applied")) == 6, 5)
    assert_stream(tunnel, stream)
    assert [line["version"] for line in tunnel.events("it.stopped")] == list(range(6))


@threads
def test_adding_and_removing_stages_loses_no_frame(make_tunnel: MakeTunnel, threads: int) -> None:
    tunnel = make_tunnel(COUNTS % 0, threads=threads)
    tunnel.ping()
    tables = (
        f"threads = {threads}\n",
        f'threads = {threads}\n[[stages]]\nuse = "impair"\noptions = {{ delay_ms = 3 }}\n'
        '[[stages]]\nuse = "stage.py:It"\n',
        f'threads = {threads}\n[[stages]]\nuse = "stage.py:It"\n',
    )
    with tunnel.stream(_PER_SECOND) as stream:
        for turn in range(_RELOADS):
            tunnel.network.gateway.write("/run/wg0.pyfw.toml", tables[turn % 3])
            assert tunnel.reload(), turn
            time.sleep(0.02)
        tunnel.network.gateway.write("/run/wg0.pyfw.toml", tables[2])
        assert tunnel.reload()
    for way in (stream.up, stream.down):
        assert (way.refused, way.duplicated, way.out_of_order) == (0, 0, 0), stream
    # Frames that the removed delay held are dropped and counted.
    lost = queue_drops(tunnel.pair)
    for daemon in tunnel.pair.daemons:
        reasons = drops(daemon.counters())
        allowed = {"outbound.no_route", "outbound.congested", "inbound.congested"}
        assert set(reasons) <= allowed | _BY_STAGE, reasons
        lost += sum(reasons.get(reason, 0) for reason in _BY_STAGE)
    assert stream.up.lost + stream.down.lost == lost, (lost, stream)


_BY_STAGE = {"inbound.stage", "outbound.stage"}
