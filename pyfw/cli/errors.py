"""Reports errors in plain text on standard error, and exits."""

import errno
import os
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from pyfw.control import exit_status

if TYPE_CHECKING:
    from pyfw.control import StartFailed

_HINTS = dict.fromkeys((errno.EPERM, errno.EACCES), "needs root or CAP_NET_ADMIN")


def fail(message: object, status: int = exit_status.FAILED) -> NoReturn:
    """Prints a message and exits."""
    for line in str(message).splitlines():
        click.echo(f"pyfw: {line}", err=True)
    sys.exit(status)


def fail_start(failed: "StartFailed", what: str) -> NoReturn:
    """Prints why a tunnel did not come up, and exits."""
    from pyfw.config import ConfigError

    if isinstance(failed.error, ConfigError):  # of a stage
        fail(failed.error, exit_status.USAGE)
    fail(system_error(failed.error, what))


def system_error(error: OSError | ValueError, what: str) -> str:
    """Returns a message with the error of the system or of the engine, and a hint if there is one."""
    if not isinstance(error, OSError):
        return f"{what}: {error}"
    reason = os.strerror(error.errno) if error.errno and not error.strerror else error.strerror
    message = f"{what}: {reason or error}"
    if error.filename:
        message += f": {error.filename}"
    hint = _HINTS.get(error.errno or 0)
    return f"{message} ({hint})" if hint else message
