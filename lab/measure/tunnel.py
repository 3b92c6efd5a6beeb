"""A tunnel under measurement: runs loads through it and reads what they cost."""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.measure.snapshot import CounterSnapshot, TwoDaemons
from lab.resource_usage import cpu_ns, peak_rss_mib
from pyfw.demo.namespace import Namespace
from pyfw.demo.network import BEHIND, TUNNEL
from pyfw.demo.process import Process

# The port that loads listen on.
LOAD_PORT = 5302
# For connections and slow start.
_WARM_UP_S = 0.4
# For Python to start on a busy machine.
_READY_S = 20.0
_LOADS = Path(__file__).parent.parent / "load"


@dataclass(frozen=True)
class LoadScript:
    """One process of a load: where it runs, a script of `lab.load`, and its arguments."""

    at: Namespace
    script: str
    arguments: Sequence[object]


@dataclass(frozen=True)
class LoadResult:
    """A finished load."""

    # What each script printed.
    outputs: list[dict[str, Any]]
    # User and system time of both daemons in the window.
    cpu_ns: int
    # The difference over the whole load, warm-up included.
    counters: CounterSnapshot


@dataclass
class MeasuredTunnel:
    """A pair whose tunnel is up, measured with one version of IP."""

    pair: TwoDaemons
    version: int = 4

    @property
    def server_address(self) -> str:
        """The server, behind the gateway."""
        return BEHIND["server"].of(self.version)

    @property
    def gateway_address(self) -> str:
        """The gateway's end of the tunnel."""
        return TUNNEL["gateway"].of(self.version)

    def peak_rss_mib(self) -> float:
        """Returns the larger of the two daemons' peak memory."""
        return max(peak_rss_mib(daemon.process.pid) for daemon in self.pair.daemons)

    def run_load(self, seconds: float, *scripts: LoadScript) -> LoadResult:
        """Runs a load: starts the scripts in this order and gives them one window."""
        before = CounterSnapshot.read(self.pair)
        running: list[Process] = []
        try:
            for one in scripts:
                # By its path: -P keeps the modules beside it out of sys.path.
                path = str(_LOADS / f"{one.script}.py")
                command = (sys.executable, "-P", path, *map(str, one.arguments))
                running.append(one.at.start(*command, reads_stdin=True))
            for process in running:
                process.wait_for("ready", _READY_S)
            start = time.monotonic() + _WARM_UP_S
            end = start + seconds
            for process in running:
                process.write_line(f"{start!r} {end!r}")
            _sleep_until(start)
            spent_ns = -self._cpu_ns()
            _sleep_until(end)
            spent_ns += self._cpu_ns()
            outputs = [_output(process) for process in running]
        finally:
            # If one end failed, the other still waits on the port that the next load needs.
            for process in running:
                process.stop()
        return LoadResult(outputs, spent_ns, CounterSnapshot.read(self.pair) - before)

    def _cpu_ns(self) -> int:
        return sum(cpu_ns(daemon.process.pid) for daemon in self.pair.daemons)


def _output(process: Process) -> dict[str, Any]:
    text = process.wait(10).removeprefix("ready\n")
    found: dict[str, Any] = json.loads(text) if text else {}
    return found


def _sleep_until(moment: float) -> None:
    time.sleep(max(moment - time.monotonic(), 0))
