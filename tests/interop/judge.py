"""The judge at the end of every test: nothing late, nothing vanished, nobody died."""

import time
from typing import Any

from lab import Daemon, Pair
from pyfw.demo.counter_checks import drops, imbalances, late
from pyfw.demo.kernel_counters import Counters

# What is on its way in a descriptor needs a moment; the law holds at batch boundaries.
_SETTLE_S = 3.0


def judge(pair: Pair) -> None:
    """Asserts that both daemons run, that nothing was late and that every packet is accounted for."""
    for daemon in pair.daemons:
        assert daemon.process.returncode is None, daemon.process.output()
        if daemon.implementation.is_pyfw:
            counters = settled(daemon)
            assert late(counters) == 0, daemon.at.name


def settled(daemon: Daemon) -> dict[str, Any]:
    """The daemon's counters once the law holds; asserts that it comes to hold."""
    deadline = time.monotonic() + _SETTLE_S
    while True:
        counters = daemon.counters()
        wrong = imbalances(counters)
        if not wrong:
            return counters
        assert time.monotonic() < deadline, f"{daemon.at.name}: {wrong}"
        time.sleep(0.05)


def assert_in_order(pair: Pair, received: Counters) -> None:
    """Asserts that the receiving kernel saw no segment out of order, unless some were lost.

    A full queue of the kernel may lose a segment, and those behind it then wait as out of order.
    Where nobody counted a drop, nothing may.
    """
    if dropped(pair) == 0:
        assert received.out_of_order == 0


def dropped(pair: Pair) -> int:
    """What was dropped of a queue: by the kernels at a UDP socket or at the TUN, in both machines of the
    tunnel, and by the daemons where one stood before them."""
    told = [daemon.counters() for daemon in pair.daemons if daemon.implementation.is_pyfw]
    paths = [counters[way] for counters in told for way in ("outbound", "inbound")]
    found: int = sum(path["drops"].get("congested", 0) for path in paths)
    for machine in (pair.network.client, pair.network.gateway):
        found += sum(machine.counters().queue_drops("wg0").values())
    return found


def told_drops(pair: Pair) -> str:
    """In words: what both daemons and their kernels say that they dropped, for who wonders what was lost."""
    told = []
    for daemon in pair.daemons:
        named = drops(daemon.counters()) | daemon.at.counters().queue_drops("wg0")
        told.append(f"{daemon.at.name}: {named}")
    return "; ".join(told)
