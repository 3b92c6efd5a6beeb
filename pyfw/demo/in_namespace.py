"""What commands have in common that build a lab: how they end when it cannot be, fails or is interrupted.

In: a block of a command. Out: the block's end; or an error in plain words, or 128 and the signal's number,
with all that the lab held let go.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import click

from lab import Unavailable
from pyfw.demo.terminal import Terminal


@contextmanager
def in_lab(what: str, terminal: Terminal) -> Iterator[None]:
    """Runs the block of a command that is called `what` in messages."""
    try:
        with _signals_raised():
            yield
    except Unavailable as reason:
        raise click.ClickException(f"{what} cannot run here: {reason}") from reason
    except (RuntimeError, OSError) as error:
        raise click.ClickException(str(error)) from error
    except _Interrupted as interrupted:
        # Where nobody reads any more, the status is what tells.
        with suppress(OSError):
            terminal.clear()
            click.echo("interrupted; nothing is left behind", err=True)
        sys.exit(128 + interrupted.number)


class _Interrupted(BaseException):
    """A signal asked us to end. Not an Exception: nothing on the way may swallow it."""

    def __init__(self, number: int) -> None:
        self.number = number


@contextmanager
def _signals_raised() -> Iterator[None]:
    def interrupt(number: int, frame: FrameType | None) -> None:
        # Once is enough: a second Ctrl-C must not cut the clearing up short.
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
