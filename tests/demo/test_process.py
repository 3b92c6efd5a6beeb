"""Processes: their output and their end."""

import os
import sys

import pytest

from pyfw.demo.process import Process


def python(code: str) -> Process:
    return Process([sys.executable, "-c", code], os.environ)


def test_output_of_any_size_does_not_block() -> None:
    process = python("print('x' * 1_000_000)")
    assert len(process.wait(10)) == 1_000_001


def test_failure_has_the_output() -> None:
    with pytest.raises(RuntimeError, match="exit 3: broken"):
        python("print('broken'); raise SystemExit(3)").wait(10)


def test_output_is_readable_after_the_end() -> None:
    process = python("print('text')")
    process.wait(10)
    assert process.output() == "text\n"


def test_process_that_ignores_sigterm_is_killed() -> None:
    process = python(
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True);"
        "signal.pause(); signal.pause()"
    )
    process.wait_for("up")
    assert process.stop(timeout_s=0.1) == -9


def test_process_reads_a_line() -> None:
    process = Process([sys.executable, "-c", "print(input())"], os.environ, reads_stdin=True)
    process.write_line("text")
    assert process.wait(10) == "text\n"
