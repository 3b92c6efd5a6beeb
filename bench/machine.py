"""The machine that a run was made on, as the documentation names it."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from bench.results import Machine


def describe() -> Machine:
    """This one, now."""
    return Machine(
        processor=processor(Path("/proc/cpuinfo").read_text()),
        cpus=len(os.sched_getaffinity(0)),
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30), 1),
        kernel=platform.release(),
        python=platform.python_version(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        load_average=round(os.getloadavg()[0], 2),
    )


def processor(cpuinfo: str) -> str:
    """The model's name in /proc/cpuinfo, or the architecture, where it has none."""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine()


def times() -> tuple[int, int]:
    """What the hypervisor gave to others, and all time, in ticks since the start (proc_stat(5))."""
    fields = [int(n) for n in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return fields[7], sum(fields)


def stolen(before: tuple[int, int], after: tuple[int, int]) -> float:
    """The share of the time between two readings that went to others."""
    passed = after[1] - before[1]
    return round((after[0] - before[0]) / passed, 4) if passed else 0.0
