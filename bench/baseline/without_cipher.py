"""Pyfw with its cipher off: handshakes, counters and batches as ever, datagrams in the clear.

In: a configuration that `lab_only` let through. Out: a running daemon, and a warning.
"""

import asyncio

import msgspec
import structlog

from pyfw.config import Config
from pyfw.control import Daemon, serve
from pyfw.observe import log
from pyfw.pipeline import Pipeline


def run(config: Config) -> int:
    """Runs the daemon to its end; its exit status."""
    log.configure(config.settings.log_level)
    without_cipher = msgspec.structs.replace(config.settings, cipher="off")
    daemon = Daemon(config.name, config, pipeline=Pipeline(without_cipher))
    structlog.get_logger("pyfw").error(
        "THE CIPHER IS OFF: whatever this tunnel carries can be read and forged by anyone; it is a "
        "part of a benchmark and nothing else",
        interface=config.name,
    )
    return asyncio.run(serve([daemon]))
