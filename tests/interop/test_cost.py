"""What a tunnel costs: memory under load, wake-ups and processor time at rest."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from lab import BEHIND, Network, Pair, pyfw_run
from lab.resource_usage import cpu_ns, peak_rss_mib, voluntary_switches
from pyfw.demo.transfer import TransferServer
from tests.interop.invariants import assert_invariants

_PEAK_RSS_MIB = 96
# At rest, per minute: one wake-up a second, and 10 ms of processor time.
_SWITCHES_A_MINUTE = 60
_CPU_MS_A_MINUTE = 10


@pytest.fixture(scope="module")
def loaded_pairs() -> Iterator[list[Pair]]:
    """A pair with one thread and a pair with two, each after traffic both ways."""
    pairs = []
    with ExitStack() as stack:
        for threads in (1, 2):
            network = stack.enter_context(Network())
            implementation = pyfw_run(f"threads = {threads}")
            pair = Pair(network, implementation, implementation)
            pair.first_ping_ms()
            server = TransferServer(network.server, BEHIND["server"].v4)
            for direction in ("up", "down"):
                server.transfer(network.client, direction, 64 << 20)
            server.stop()
            pairs.append(pair)
        yield pairs
        for pair in pairs:
            assert_invariants(pair)


def test_memory_under_load_is_bounded(loaded_pairs: list[Pair]) -> None:
    peaks = [peak_rss_mib(daemon.process.pid) for pair in loaded_pairs for daemon in pair.daemons]
    assert max(peaks) < _PEAK_RSS_MIB


@pytest.mark.alone
def test_idle_seconds_cost_next_to_nothing(loaded_pairs: list[Pair]) -> None:
    # The keepalive that answers the last data message is due after 10 s (whitepaper §6.5).
    for pair in loaded_pairs:
        pair.first_ping_ms()
    time.sleep(1)
    assert_idle(loaded_pairs, seconds=7)


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.timeout(240)
def test_idle_minute_costs_next_to_nothing(loaded_pairs: list[Pair]) -> None:
    time.sleep(11)  # after that keepalive
    assert_idle(loaded_pairs, seconds=60)


def assert_idle(pairs: list[Pair], seconds: int) -> None:
    """Asserts it of all daemons at once: idle daemons do not disturb each other."""
    pids = [daemon.process.pid for pair in pairs for daemon in pair.daemons]
    before = [(voluntary_switches(pid), cpu_ns(pid)) for pid in pids]
    time.sleep(seconds)
    for pid, (switches, spent_ns) in zip(pids, before, strict=True):
        assert voluntary_switches(pid) - switches <= _SWITCHES_A_MINUTE * seconds / 60
        assert (cpu_ns(pid) - spent_ns) / 1e6 <= _CPU_MS_A_MINUTE * seconds / 60
