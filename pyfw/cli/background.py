"""A daemon into the background: the child keeps the terminal until it is ready, then lets go of it.

The fork comes before the extension, an event loop or a thread is loaded. The child says "ready", or "failed"
once it has told why, through a pipe; the parent ends with 0 only when it is ready. Signals to the parent
reach the child, which undoes what it has begun.
"""

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable

_READY, _FAILED = b"ready", b"failed"
_PASSED_ON = (signal.SIGINT, signal.SIGTERM)

Serve = Callable[[Callable[[], None]], int]
"""Runs the daemon; is given what to call when it is ready; returns the exit status."""


def run(serve: Serve, *, keep_output: bool) -> int | None:
    """Forks, and serves in the child. Returns the exit status, or None where the child ended without a word.

    keep_output: whether the daemon goes on writing to standard output and error.
    """
    report_read, report_write = os.pipe2(os.O_CLOEXEC)
    sys.stdout.flush()
    sys.stderr.flush()
    # Held back over the fork: one that came before the parent passes them on would end it alone.
    held = signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
    child = os.fork()
    if child:
        os.close(report_write)
        _pass_signals_on(child)
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        return _await(child, report_read)
    signal.pthread_sigmask(signal.SIG_SETMASK, held)
    os.close(report_read)
    _serve_and_end(serve, _Report(report_write), keep_output)
    return None


class _Report:
    """The one word that the parent waits for."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def say(self, word: bytes) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(BrokenPipeError):  # the parent was killed
                os.write(descriptor, word)
            os.close(descriptor)


def _serve_and_end(serve: Serve, report: _Report, keep_output: bool) -> None:
    def ready() -> None:
        _leave_terminal(keep_output=keep_output)
        report.say(_READY)

    status = 1
    try:
        status = serve(ready)
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        report.say(_FAILED)
        # Without the parent's atexit handlers and buffers.
        os._exit(status)


def _pass_signals_on(child: int) -> None:
    def pass_on(number: int, _frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):  # ended, and its status is known
            os.kill(child, number)

    for number in _PASSED_ON:
        signal.signal(number, pass_on)


def _await(child: int, report: int) -> int | None:
    with os.fdopen(report, "rb") as pipe:
        told = pipe.read()
    if told == _READY:
        return 0
    _, status = os.waitpid(child, 0)
    # One that was told to end before it was ready ended well, but nothing is up.
    return (os.waitstatus_to_exitcode(status) or 1) if told == _FAILED else None


def _leave_terminal(*, keep_output: bool) -> None:
    os.setsid()
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0,) if keep_output else (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
