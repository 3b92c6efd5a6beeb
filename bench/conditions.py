"""Records the conditions of a run: when it began, and what else used the machine."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from bench.results import Conditions


class ConditionsRecorder:
    """Records a run from its construction on."""

    def __init__(self) -> None:
        self._started = datetime.now(UTC).isoformat(timespec="seconds")
        self._load_average = round(os.getloadavg()[0], 2)
        self._before = _cpu_times()

    def conditions(self) -> Conditions:
        """Returns the conditions until now."""
        return Conditions(
            started=self._started,
            load_average=self._load_average,
            stolen=stolen_share(self._before, _cpu_times()),
            python=platform.python_version(),
        )


def stolen_share(before: tuple[int, int], after: tuple[int, int]) -> float:
    """Returns the share of CPU time between two readings that the hypervisor gave to other machines."""
    passed = after[1] - before[1]
    return round((after[0] - before[0]) / passed, 4) if passed else 0.0


def _cpu_times() -> tuple[int, int]:
    """Returns stolen and total CPU time since boot, in ticks (proc_stat(5))."""
    fields = [int(n) for n in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return fields[7], sum(fields)
