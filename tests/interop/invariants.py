"""What holds at the end of every test: daemons run, nothing is late, and every packet is accounted for."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lab import Daemon, Namespace, Pair
from lab.counter_checks import imbalances
from pyfw.demo.daemon import INTERFACE
from pyfw.demo.daemon_counters import drops, late

# The counters balance at batch boundaries, so packets in flight need a moment.
_SETTLE_S = 3.0


def assert_invariants(pair: Pair) -> None:
    """Asserts that both daemons run and, for pyfw, that nothing was late and the counters balance."""
    for daemon in pair.daemons:
        assert daemon.process.returncode is None, daemon.process.output()
        if daemon.implementation.is_pyfw:
            assert late(settled_counters(daemon)) == 0, daemon.at.name


def settled_counters(daemon: Daemon) -> dict[str, Any]:
    """Returns the daemon's counters once they balance; asserts that they do."""
    deadline = time.monotonic() + _SETTLE_S
    while True:
        counters = daemon.counters()
        found = imbalances(counters)
        if not found:
            return counters
        assert time.monotonic() < deadline, f"{daemon.at.name}: {found}"
        time.sleep(0.05)


@contextmanager
def tcp_in_order(pair: Pair, receiver: Namespace) -> Iterator[None]:
    """Asserts that the receiving kernel sees no TCP segment out of order in the block.

    Segments after a lost one arrive out of order, so nothing is asserted if a full queue dropped any.
    """
    received, dropped = receiver.counters(), queue_drops(pair)
    yield
    if queue_drops(pair) == dropped:
        assert (receiver.counters() - received).out_of_order == 0


def queue_drops(pair: Pair) -> int:
    """Returns the drops of full queues: at UDP sockets and TUNs of both machines, and in both daemons."""
    reported = [daemon.counters() for daemon in pair.daemons if daemon.implementation.is_pyfw]
    paths = [counters[path] for counters in reported for path in ("outbound", "inbound")]
    found: int = sum(path["drops"].get("congested", 0) for path in paths)
    for machine in (pair.network.client, pair.network.gateway):
        found += sum(machine.counters().queue_drops(INTERFACE).values())
    return found


def drops_text(pair: Pair) -> str:
    """Describes all drops of both daemons and their kernels, for assertion messages."""
    parts = []
    for daemon in pair.daemons:
        found = drops(daemon.counters()) | daemon.at.counters().queue_drops(INTERFACE)
        parts.append(f"{daemon.at.name}: {found}")
    return "; ".join(parts)
