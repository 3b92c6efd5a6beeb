"""Describes the machine of a measurement."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """What the figures depend on."""

    processor: str
    # Those that this process may use.
    cpus: int
    memory_gib: float
    kernel: str

    def __str__(self) -> str:
        return f"{self.processor}, {self.cpus} CPUs, {self.memory_gib:g} GiB, kernel {self.kernel}"


def this_machine() -> Machine:
    """Returns the machine that this process runs on."""
    return Machine(
        processor=processor_name(Path("/proc/cpuinfo").read_text()),
        cpus=len(os.sched_getaffinity(0)),
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30), 1),
        kernel=platform.release(),
    )


def processor_name(cpuinfo: str) -> str:
    """Returns the model name in /proc/cpuinfo, or the architecture if it has none."""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine()
