"""Pyfw with its cipher off: handshakes, counters and batches as ever, datagrams in the clear.

In: a configuration that `lab_only` let through. Out: a running daemon, and a warning.
"""

import asyncio
from typing import Any

import structlog

from pyfw import _native
from pyfw.config import Config
from pyfw.control import Daemon, serve
from pyfw.observe import log
from pyfw.pipeline import Pipeline


class WithoutCipher(Pipeline, frozen=True):
    """Both paths, but what they send can be read and forged by anyone."""

    def _made(self, **options: Any) -> _native.Engine:
        return _native.Engine(**options, without_cipher=True)


def run(config: Config) -> int:
    """Runs the daemon to its end; its exit status."""
    log.configure(config.settings.log_level)
    daemon = Daemon(config.name, config, pipeline=WithoutCipher(config.settings))
    structlog.get_logger("pyfw").error(
        "THE CIPHER IS OFF: whatever this tunnel carries can be read and forged by anyone; it is a "
        "part of a benchmark and nothing else",
        interface=config.name,
    )
    return asyncio.run(serve([daemon]))
