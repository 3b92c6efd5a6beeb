"""What a tunnel costs: memory under load, wake-ups and processor time at rest."""

import time
from functools import partial

import pytest

from lab import BEHIND, Network, Pair, pyfw_run
from pyfw.demo.transfer import TransferServer
from tests.interop.conftest import MakePair
from tests.interop.judge import judge

_PEAK_RSS_MIB = 96
# A minute of idleness: one wake-up a second, and 10 ms of processor time.
_SWITCHES_A_MINUTE = 60
_CPU_MS_A_MINUTE = 10


@pytest.mark.parametrize("threads", [1, 2])
def test_memory_under_load_is_bounded(make_pair: MakePair, threads: int) -> None:
    pair = loaded(make_pair, threads)
    peaks = [daemon.process.peak_rss_mib() for daemon in pair.daemons]
    assert max(peaks) < _PEAK_RSS_MIB


def test_ten_idle_seconds_cost_next_to_nothing(make_pair: MakePair) -> None:
    assert_idle(make_pair, seconds=10)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_an_idle_minute_costs_next_to_nothing(make_pair: MakePair) -> None:
    assert_idle(make_pair, seconds=60)


def loaded(make_pair: MakePair, threads: int, network: Network | None = None) -> Pair:
    """A pair that has carried traffic both ways."""
    make = partial(pyfw_run, f"threads = {threads}")
    pair = make_pair(make, make, network=network)
    pair.first_ping_ms()
    serving = TransferServer(pair.network.server, BEHIND["server"].v4)
    for direction in ("up", "down"):
        serving.transfer(pair.network.client, direction, 128 << 20)
    serving.stop()
    return pair


def assert_idle(make_pair: MakePair, seconds: int) -> None:
    """Both numbers of threads at once: they do nothing, so they do not disturb each other."""
    with Network() as other:
        pairs = [loaded(make_pair, 1), loaded(make_pair, 2, other)]
        processes = [daemon.process for pair in pairs for daemon in pair.daemons]
        # The answer to the last data message, a keepalive, is due after 10 s (whitepaper §6.5);
        # it is waited for, since it belongs to the traffic.
        time.sleep(11)
        before = [(process.voluntary_switches(), process.cpu_ns()) for process in processes]
        time.sleep(seconds)
        for process, (switches, cpu_ns) in zip(processes, before, strict=True):
            assert process.voluntary_switches() - switches <= _SWITCHES_A_MINUTE * seconds / 60
            assert (process.cpu_ns() - cpu_ns) / 1e6 <= _CPU_MS_A_MINUTE * seconds / 60
        judge(pairs[1])
