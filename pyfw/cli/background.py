"""Runs a daemon in the background. It keeps the terminal until it is ready.

The fork precedes the import of the extension, and any event loop or thread. The child reports through a pipe
that it is ready, or that it has failed and printed why; the parent exits with 0 only if it is ready. The
parent forwards signals to the child, which then undoes what it has begun.
"""

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable

_READY, _FAILED = b"ready", b"failed"
_FORWARDED_SIGNALS = (signal.SIGINT, signal.SIGTERM)

Serve = Callable[[Callable[[], None]], int]
"""Runs the daemon, calls its argument when it is ready, and returns the exit status."""


def run(serve: Serve, *, keep_output: bool) -> int | None:
    """Forks, and runs `serve` in the child. Returns the exit status; None if the child sent no report.

    keep_output: the daemon keeps standard output and error.
    """
    report_read, report_write = os.pipe2(os.O_CLOEXEC)
    sys.stdout.flush()
    sys.stderr.flush()
    # Blocked during the fork: a signal before the parent forwards them would end the parent alone.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED_SIGNALS)
    child = os.fork()
    if child:
        os.close(report_write)
        _forward_signals(child)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return _wait_for_report(child, report_read)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    os.close(report_read)
    _serve_and_exit(serve, _ReportPipe(report_write), keep_output)
    return None


class _ReportPipe:
    """The child's end of the pipe, for one report."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def send(self, report: bytes) -> None:
        """Sends a report; does nothing after the first one."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(BrokenPipeError):  # the parent was killed
                os.write(descriptor, report)
            os.close(descriptor)


def _serve_and_exit(serve: Serve, pipe: _ReportPipe, keep_output: bool) -> None:
    def ready() -> None:
        _leave_terminal(keep_output=keep_output)
        pipe.send(_READY)

    status = 1
    try:
        status = serve(ready)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        pipe.send(_FAILED)
        # Skips the parent's atexit handlers and buffers.
        os._exit(status)


def _forward_signals(child: int) -> None:
    def forward(number: int, _frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):  # already waited for
            os.kill(child, number)

    for number in _FORWARDED_SIGNALS:
        signal.signal(number, forward)


def _wait_for_report(child: int, descriptor: int) -> int | None:
    with os.fdopen(descriptor, "rb") as pipe:
        report = pipe.read()
    if report == _READY:
        return 0
    _, status = os.waitpid(child, 0)
    # A child that was stopped before it was ready exits with 0, but nothing is up.
    return (os.waitstatus_to_exitcode(status) or 1) if report == _FAILED else None


def _leave_terminal(*, keep_output: bool) -> None:
    os.setsid()
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0,) if keep_output else (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
