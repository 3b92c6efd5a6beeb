"""Stages that start threads and processes: the tunnel goes on, is itself alone, and ends in time."""

import signal
import time

import pytest

from tests.faults.conftest import MakeStaged
from tests.faults.staged_tunnel import Staged, wait_until

threads = pytest.mark.parametrize("threads", [1, 2])

FORKS = """
    import os, subprocess, sys
    import pyfw

    def child(how):
        if how == "raises":
            raise ValueError
        if how == "exits":
            sys.exit(0)
        if how == "returns a value":
            return 3

    class It(pyfw.Stage):
        calls = 0
        filter = {"protocol": "udp"}

        def process(self, batch):
            self.calls += 1
            if self.calls > 40:
                return None
            if self.calls % 5 == 0:
                done = subprocess.run(["sh", "-c", "exit 7"], capture_output=True)
                return self.count(f"exit_{done.returncode}")
            how = ("returns", "raises", "exits", "returns a value", "")[self.calls % 5]
            pid = os.fork()
            if not pid:
                for i in range(len(batch)):
                    batch.drop(i, "by_a_child")
                return child(how)
            _, status = os.waitpid(pid, 0)
            self.count(f"exit_{os.waitstatus_to_exitcode(status)}")
"""

FORKS_AT_START = """
    import os
    import pyfw

    class It(pyfw.Stage):
        def start(self):
            pid = os.fork()
            if pid:
                _, status = os.waitpid(pid, 0)
                self.count(f"exit_{os.waitstatus_to_exitcode(status)}")
"""

THREADS = """
    import threading, time
    import pyfw

    class It(pyfw.Stage):
        over = False
        turns = 0

        def start(self):
            self.threads = [threading.Thread(target=self.run, name=f"mine {n}") for n in range(2)]
            for thread in self.threads:
                thread.start()

        def run(self):
            while not self.over:
                self.turns += sum(range(100)) > 0

        def process(self, batch):
            self.count("turns", self.turns)
            self.turns = 0
"""
STOPS = """
        def stop(self):
            self.over = True
            for thread in self.threads:
                thread.join()
"""


def ends(staged: Staged) -> float:
    """SIGTERM; how long it takes to its end, which is a good one."""
    begun = time.monotonic()
    staged.gateway.process.signal(signal.SIGTERM)
    assert staged.wait_for_end(15) == 0, staged.gateway.process.output()
    assert not staged.network.gateway.has("/run/wireguard/wg0.sock")
    return time.monotonic() - begun


@threads
def test_a_forked_child_that_comes_back_from_a_call_ends_there_and_says_nothing(
    make_staged: MakeStaged, threads: int
) -> None:
    staged = make_staged(FORKS, threads=threads)
    staged.ping()
    with staged.stream() as stream:
        wait_until(lambda: staged.it["calls"] > 60, 20)
    staged.unharmed(stream)
    it = staged.it
    assert it["own"] == {"exit_70": 32, "exit_7": 8}
    assert (it["failures"], it["drops"]) == (0, {})
    assert not staged.said("stage.raised")
    assert ends(staged) < 3


def test_a_child_that_was_forked_in_start_ends_there(make_staged: MakeStaged) -> None:
    staged = make_staged(FORKS_AT_START)
    staged.ping()
    with staged.stream() as stream:
        time.sleep(0.3)
        assert staged.reload(f"{FORKS_AT_START}\n    # another\n")
        time.sleep(0.3)
    staged.unharmed(stream)
    assert staged.it["own"] == {"exit_70": 2}
    assert ends(staged) < 3


@threads
def test_threads_of_a_stage_slow_nothing_down_so_far_that_it_is_lost(
    make_staged: MakeStaged, threads: int
) -> None:
    staged = make_staged(f"{THREADS}{STOPS}", threads=threads)
    staged.ping()
    with staged.stream() as stream:
        time.sleep(1)
        assert staged.reload(f"{THREADS}{STOPS}\n    # another\n")
        time.sleep(1)
    staged.unharmed(stream)
    assert staged.it["own"]["turns"] > 100
    assert not staged.said("stage.stalled")
    assert ends(staged) < 3


def test_threads_that_a_stage_does_not_end_keep_the_process_for_a_second_at_most(
    make_staged: MakeStaged,
) -> None:
    staged = make_staged(THREADS)
    staged.ping()
    assert ends(staged) < 4
    (left,) = staged.said("threads left behind")
    assert left["names"] == ["mine 0", "mine 1"]
