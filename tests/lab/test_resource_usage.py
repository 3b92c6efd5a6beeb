"""Reading what a process uses."""

import os
import sys

from lab import Process
from lab.resource_usage import cpu_ns, peak_rss_mib, voluntary_switches


def python(code: str) -> Process:
    return Process([sys.executable, "-c", code], os.environ)


def test_cpu_time_is_exact_and_does_not_grow_in_sleep() -> None:
    worker = python(
        "import time\nend = time.process_time() + 0.05\nwhile time.process_time() < end: pass\n"
        "print('done', flush=True); time.sleep(60)"
    )
    worker.wait_for("done")
    spent = cpu_ns(worker.pid)
    # Includes the start of the interpreter.
    assert 0.05e9 <= spent < 5e9
    assert cpu_ns(worker.pid) - spent < 0.01e9
    worker.stop()


def test_peak_memory_and_switches_are_read() -> None:
    sleeper = python(
        "import time; x = bytearray(64 << 20); print('up', flush=True); time.sleep(60)"
    )
    sleeper.wait_for("up")
    assert peak_rss_mib(sleeper.pid) > 64
    assert voluntary_switches(sleeper.pid) >= 0
    sleeper.stop()
