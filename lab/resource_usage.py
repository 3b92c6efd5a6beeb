"""What a running process uses: processor time, memory, wake-ups."""

import time
from pathlib import Path


def cpu_ns(pid: int) -> int:
    """Returns the user and system time of all threads, including those that have ended, in ns."""
    # clock_getcpuclockid(3); include/linux/posix-timers.h: the clock id is ~PID << 3 | CPUCLOCK_SCHED.
    return time.clock_gettime_ns(~pid << 3 | 2)


def peak_rss_mib(pid: int) -> float:
    """Returns the peak resident set size, in MiB."""
    return _status_field(Path(f"/proc/{pid}/status"), "VmHWM") / 1024


def voluntary_switches(pid: int) -> int:
    """Returns the voluntary context switches of all threads: each is a thread that went to sleep."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(_status_field(task / "status", "voluntary_ctxt_switches") for task in tasks)


def _status_field(status: Path, name: str) -> int:
    for line in status.read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0])
    raise KeyError(name)
