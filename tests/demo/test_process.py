"""Processes of the lab."""

import os
import sys

import pytest

from lab import Process


def python(code: str) -> Process:
    return Process([sys.executable, "-c", code], os.environ)


def test_output_of_any_size_does_not_block() -> None:
    process = python("print('x' * 1_000_000)")
    assert len(process.wait(10)) == 1_000_001


def test_a_failure_is_raised_with_what_was_written() -> None:
    with pytest.raises(RuntimeError, match="exit 3: broken"):
        python("print('broken'); raise SystemExit(3)").wait(10)


def test_output_can_be_read_after_the_end() -> None:
    process = python("print('said')")
    process.wait(10)
    assert process.output() == "said\n"


def test_a_process_that_ignores_sigterm_is_killed() -> None:
    process = python(
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True);"
        "signal.pause(); signal.pause()"
    )
    process.wait_for("deaf")
    assert process.stop(timeout_s=0.1) == -9


def test_a_process_that_listens_is_told_a_line() -> None:
    process = Process([sys.executable, "-c", "print(input())"], os.environ, listens=True)
    process.tell("said")
    assert process.wait(10) == "said\n"


def test_processor_time_is_exact_and_stays_while_a_process_sleeps() -> None:
    worker = python(
        "import time\nend = time.process_time() + 0.05\nwhile time.process_time() < end: pass\n"
        "print('done', flush=True); time.sleep(60)"
    )
    worker.wait_for("done")
    spent = worker.cpu_ns()
    # What the interpreter took to start is in it as well.
    assert 0.05e9 <= spent < 5e9
    assert worker.cpu_ns() - spent < 0.01e9
    worker.stop()


def test_a_process_tells_what_it_used() -> None:
    sleeper = python(
        "import time; x = bytearray(64 << 20); print('up', flush=True); time.sleep(60)"
    )
    sleeper.wait_for("up")
    assert sleeper.peak_rss_mib() > 64
    assert sleeper.threads() == 1
    assert sleeper.cpu_ns() > 0
    assert sleeper.voluntary_switches() >= 0
    sleeper.stop()
