"""The judge at the end of every test: nothing late, nothing vanished, nobody died."""

import time
from typing import Any

from pyfw.lab import Daemon, Pair
from pyfw.lab.account import imbalances, late

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
