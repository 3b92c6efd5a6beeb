"""Another version of a stage under traffic, twenty times: nothing lost, nothing out of order."""

import time

import pytest

from lab import Stream
from pyfw.demo.daemon_counters import drops
from tests.faults.conftest import MakeStaged
from tests.faults.staged_tunnel import Staged, wait_until
from tests.interop.invariants import queue_drops

threads = pytest.mark.parametrize("threads", [1, 2])

_LOOPS = 20
_PER_SECOND = 5000
"""Each way, of 200 B: below a fifth of what the tunnel can do, and what two scripts can send beside it."""

_LEAST_PER_VERSION = 50
"""Half of what falls due in the 0.02 s for which a version stands at least."""

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


def judge_stream(staged: Staged, stream: Stream) -> None:
    staged.unharmed(stream)
    assert min(stream.up.sent, stream.down.sent) > _LOOPS * _LEAST_PER_VERSION, stream
    it = staged.it
    assert (it["failures"], it["drops"], it["is_out"]) == (0, {}, False)


def reload_all(staged: Staged, source: str) -> None:
    for version in range(1, _LOOPS + 1):
        assert staged.reload(source % version), version
        time.sleep(0.02)


@threads
def test_by_sighup_every_version_sees_its_frames_and_none_is_lost(
    make_staged: MakeStaged, threads: int
) -> None:
    staged = make_staged(COUNTS % 0, threads=threads)
    staged.ping()
    with staged.stream(_PER_SECOND) as stream:
        reload_all(staged, COUNTS)
    judge_stream(staged, stream)
    it = staged.it
    # One slot, whatever stands in it: its counters go on.
    assert it["own"]["version_0"] + it["own"]["version_1"] == it["frames"]
    assert min(it["own"].values()) > 0
    stopped = staged.said("it.stopped")
    assert [line["version"] for line in stopped] == list(range(_LOOPS))
    seen = [line["seen"] for line in stopped]
    assert seen == sorted(seen) and seen[-1] > seen[0]
    assert staged.reload(COUNTS % 99)
    # What was handed over twenty times is what the path counted.
    assert staged.said("it.stopped")[-1]["seen"] == staged.it["segments"]


@threads
def test_by_sighup_held_frames_survive_every_version(make_staged: MakeStaged, threads: int) -> None:
    staged = make_staged(HOLDS % 0, threads=threads)
    staged.ping()
    with staged.stream(_PER_SECOND) as stream:
        reload_all(staged, HOLDS)
    judge_stream(staged, stream)
    it = staged.it
    assert it["own"]["handed_over"] > _LOOPS
    assert (it["held_frames"], it["created"]) == (0, 0)


def test_by_a_change_of_the_file_with_run_reload(make_staged: MakeStaged) -> None:
    staged = make_staged(COUNTS % 0, options=("--reload",))
    staged.ping()
    with staged.stream(_PER_SECOND) as stream:
        for version in range(1, 6):
            staged.rewrite(COUNTS % version)
            wait_until(lambda: len(staged.said("reload.applied")) == version, 5)  # noqa: B023
        staged.rewrite("def broken(:\n")
        wait_until(lambda: staged.said("reload.refused"), 5)
        frames = staged.it["frames"]
        wait_until(lambda: staged.it["frames"] > frames, 5)
        staged.rewrite(COUNTS % 6)
        wait_until(lambda: len(staged.said("reload.applied")) == 6, 5)
    judge_stream(staged, stream)
    assert [line["version"] for line in staged.said("it.stopped")] == list(range(6))


@threads
def test_stages_come_and_go_by_their_tables_and_nothing_is_lost(
    make_staged: MakeStaged, threads: int
) -> None:
    staged = make_staged(COUNTS % 0, threads=threads)
    staged.ping()
    tables = (
        f"threads = {threads}\n",
        f'threads = {threads}\n[[stages]]\nuse = "impair"\noptions = {{ delay_ms = 3 }}\n'
        '[[stages]]\nuse = "stage.py:It"\n',
        f'threads = {threads}\n[[stages]]\nuse = "stage.py:It"\n',
    )
    with staged.stream(_PER_SECOND) as stream:
        for turn in range(_LOOPS):
            staged.network.gateway.write("/run/wg0.pyfw.toml", tables[turn % 3])
            assert staged.reload(), turn
            time.sleep(0.02)
        staged.network.gateway.write("/run/wg0.pyfw.toml", tables[2])
        assert staged.reload()
    for way in (stream.up, stream.down):
        assert (way.refused, way.duplicated, way.out_of_order) == (0, 0, 0), stream
    # What the delay held when it was taken out is dropped, and told.
    taken = queue_drops(staged.pair)
    for daemon in staged.pair.daemons:
        named = drops(daemon.counters())
        ours = {"outbound.no_route", "outbound.congested", "inbound.congested"}
        assert set(named) <= ours | _BY_STAGE, named
        taken += sum(named.get(reason, 0) for reason in _BY_STAGE)
    assert stream.up.lost + stream.down.lost == taken, (taken, stream)


_BY_STAGE = {"inbound.stage", "outbound.stage"}
