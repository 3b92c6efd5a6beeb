"""A tunnel that is measured: two daemons, the version of IP in and outside of them, what is read of them."""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.measure.tally import Tally
from pyfw.demo.namespace import Namespace
from pyfw.demo.network import BEHIND, TUNNEL
from pyfw.demo.pair import Pair
from pyfw.demo.process import Process

# What the loads listen on.
LOAD_PORT = 5302
# Connections and slow start.
_WARM_UP_S = 0.4
# For Python to start, on a machine that has little time for it.
_READY_S = 20.0
_LOADS = Path(__file__).parent.parent / "load"


@dataclass(frozen=True)
class Party:
    """One that takes part in a load: where, a script of `lab.load`, and what it is told."""

    at: Namespace
    script: str
    words: Sequence[object]


@dataclass(frozen=True)
class Observation:
    """A load's window, seen from outside."""

    # What each party printed.
    told: list[dict[str, Any]]
    # User and system time of both daemons in the window.
    cpu_ns: int
    # What was counted in all of the load's time.
    counted: Tally


@dataclass
class Subject:
    """A pair whose tunnel is up."""

    pair: Pair
    version: int = 4

    @property
    def server_address(self) -> str:
        """Behind the gateway."""
        return BEHIND["server"].of(self.version)

    @property
    def client_address(self) -> str:
        """The client's end of the tunnel."""
        return TUNNEL["client"].of(self.version)

    @property
    def gateway_address(self) -> str:
        """The gateway's end of the tunnel."""
        return TUNNEL["gateway"].of(self.version)

    def peak_rss_mib(self) -> float:
        """The most that one of the two daemons ever held."""
        return max(daemon.process.peak_rss_mib() for daemon in self.pair.daemons)

    def observe(self, seconds: float, *parties: Party) -> Observation:
        """Runs a load, by parties that start in this order and share one window."""
        before = Tally.take(self.pair)
        running: list[Process] = []
        try:
            for party in parties:
                # By its path: -P keeps the modules beside it off Python's.
                script = str(_LOADS / f"{party.script}.py")
                words = (sys.executable, "-P", script, *map(str, party.words))
                running.append(party.at.start(*words, listens=True))
            for process in running:
                process.wait_for("ready", _READY_S)
            start = time.monotonic() + _WARM_UP_S
            end = start + seconds
            for process in running:
                process.tell(f"{start!r} {end!r}")
            _sleep_until(start)
            cpu_ns = -self._cpu_ns()
            _sleep_until(end)
            cpu_ns += self._cpu_ns()
            told = [_told(process) for process in running]
        finally:
            # One end that failed leaves the other waiting, at a port that the next load wants.
            for process in running:
                process.stop()
        return Observation(told, cpu_ns, Tally.take(self.pair) - before)

    def _cpu_ns(self) -> int:
        return sum(daemon.process.cpu_ns() for daemon in self.pair.daemons)


def _told(process: Process) -> dict[str, Any]:
    words = process.wait(10).removeprefix("ready\n")
    found: dict[str, Any] = json.loads(words) if words else {}
    return found


def _sleep_until(moment: float) -> None:
    time.sleep(max(moment - time.monotonic(), 0))
