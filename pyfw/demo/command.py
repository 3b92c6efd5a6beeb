"""How a command that builds namespaces ends: with an error message, or cleaned up after a signal."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import click

from pyfw.demo.namespace import Unavailable
from pyfw.demo.terminal import Terminal


@contextmanager
def errors_reported(command: str, terminal: Terminal) -> Iterator[None]:
    """Turns the block's errors into click errors that name the command.

    SIGINT, SIGTERM and SIGHUP unwind the block, so that it cleans up, and exit with 128 and the signal's
    number.
    """
    try:
        with _signals_raised():
            yield
    except Unavailable as reason:
        raise click.ClickException(f"{command} cannot run here: {reason}") from reason
    except (RuntimeError, OSError) as error:
        raise click.ClickException(str(error)) from error
    except _Interrupted as interrupted:
        # The terminal may be gone; the exit status still reports the signal.
        with suppress(OSError):
            terminal.clear()
            click.echo("interrupted; nothing is left behind", err=True)
        sys.exit(128 + interrupted.number)


class _Interrupted(BaseException):
    """A signal asks the process to end. Not an Exception, so that no handler on the way catches it."""

    def __init__(self, number: int) -> None:
        self.number = number


@contextmanager
def _signals_raised() -> Iterator[None]:
    def interrupt(number: int, frame: FrameType | None) -> None:
        # A second Ctrl-C must not cut the clean-up short.
        for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(one, signal.SIG_IGN)
        raise _Interrupted(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    earlier = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, earlier, strict=True):
            signal.signal(number, handler)
