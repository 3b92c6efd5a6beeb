"""Runs pyfw with its cipher off: handshakes, counters and batches as ever, datagrams in the clear."""

import asyncio

import msgspec
import structlog

from pyfw.config import Config
from pyfw.control import Daemon, serve
from pyfw.observe import log
from pyfw.pipeline import Pipeline


def run(config: Config) -> int:
    """Runs the daemon to its end and returns its exit status."""
    log.configure(config.settings.log_level)
    without_cipher = msgspec.structs.replace(config.settings, cipher="off")
    daemon = Daemon(config.name, config, pipeline=Pipeline(without_cipher))
    structlog.get_logger("pyfw").error(
        "THE CIPHER IS OFF: anyone can read and forge what this tunnel carries; it is for benchmarks only",
        interface=config.name,
    )
    return asyncio.run(serve([daemon]))
