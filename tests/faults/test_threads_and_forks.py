"""Stages that start threads and child processes: the tunnel continues, and ends in time."""

import signal
import time

import pytest

from tests.faults.conftest import MakeTunnel
from tests.faults.staged_tunnel import StagedTunnel, wait_until

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
        stopping = False
        turns = 0

        def start(self):
            self.threads = [threading.Thread(target=self.run, name=f"mine {n}") for n in range(2)]
            for thread in self.threads:
                thread.start()

        def run(self):
            while not self.stopping:
                self.turns += sum(range(100)) > 0

        def process(self, batch):
            self.count("turns", self.turns)
            self.turns = 0
"""
STOPS = """
        def stop(self):
            self.stopping = True
            for thread in self.threads:
                thread.join()
"""


def terminate(tunnel: StagedTunnel) -> float:
    """Ends the gateway with SIGTERM. Returns how long that took; asserts that it succeeded."""
    begun = time.monotonic()
    tunnel.gateway.process.signal(signal.SIGTERM)
    assert tunnel.wait_for_end(15) == 0, tunnel.gateway.process.output()
    assert not tunnel.network.gateway.has("/run/wireguard/wg0.sock")
    return time.monotonic() - begun


@threads
def test_a_forked_child_ends_when_its_call_returns(make_tunnel: MakeTunnel, threads: int) -> None:
    tunnel = make_tunnel(FORKS, threads=threads)
    tunnel.ping()
    with tunnel.stream() as stream:
        wait_until(lambda: tunnel.stage_counts["calls"] > 60, 20)
    tunnel.assert_unharmed(stream)
    counts = tunnel.stage_counts
    assert counts["own"] == {"exit_70": 32, "exit_7": 8}
    assert (counts["failures"], counts["drops"]) == (0, {})
    assert not tunnel.events("stage.raised")
    assert terminate(tunnel) < 3


def test_a_child_forked_in_start_ends_there(make_tunnel: MakeTunnel) -> None:
    tunnel = make_tunnel(FORKS_AT_START)
    tunnel.ping()
    with tunnel.stream() as stream:
        time.sleep(0.3)
        assert tunnel.reload(f"{FORKS_AT_START}\n    # another\n")
        time.sleep(0.3)
    tunnel.assert_unharmed(stream)
    assert tunnel.stage_counts["own"] == {"exit_70": 2}
    assert terminate(tunnel) < 3


@threads
def test_busy_threads_of_a_stage_cost_no_packet(make_tunnel: MakeTunnel, threads: int) -> None:
    tunnel = make_tunnel(f"{THREADS}{STOPS}", threads=threads)
    tunnel.ping()
    with tunnel.stream() as stream:
        time.sleep(1)
        assert tunnel.reload(f"{THREADS}{STOPS}\n    # another\n")
        time.sleep(1)
    tunnel.assert_unharmed(stream)
    assert tunnel.stage_counts["own"]["turns"] > 100
    assert not tunnel.events("stage.stalled")
    assert terminate(tunnel) < 3


def test_running_threads_delay_the_exit_by_at_most_a_second(
    make_tunnel: MakeTunnel,
) -> None:
    tunnel = make_tunnel(THREADS)
    tunnel.ping()
    assert terminate(tunnel) < 4
    (left,) = tunnel.events("stage.threads_running")
    assert left["names"] == ["mine 0", "mine 1"]
