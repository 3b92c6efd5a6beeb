"""When and among what else a run was made: what makes figures of one machine differ."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from bench.results import Conditions


class Watch:
    """Of a run, from when it is made."""

    def __init__(self) -> None:
        self._started = datetime.now(UTC).isoformat(timespec="seconds")
        self._load_average = round(os.getloadavg()[0], 2)
        self._before = _times()

    def conditions(self) -> Conditions:
        """Those of the run until now."""
        return Conditions(
            started=self._started,
            load_average=self._load_average,
            stolen=stolen(self._before, _times()),
            python=platform.python_version(),
        )


def stolen(before: tuple[int, int], after: tuple[int, int]) -> float:
    """The share of the time between two readings that went to others."""
    passed = after[1] - before[1]
    return round((after[0] - before[0]) / passed, 4) if passed else 0.0


def _times() -> tuple[int, int]:
    """What the hypervisor gave to others, and all time, in ticks since the start (proc_stat(5))."""
    fields = [int(n) for n in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return fields[7], sum(fields)
