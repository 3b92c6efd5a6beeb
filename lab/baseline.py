"""The baselines of a benchmark as daemons: pyfw without its cipher, and a plain TUN-to-UDP forwarder.

Both run `bench/baseline` of this checkout by its path, with the pyfw that is installed beside this Python.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pyfw.demo.daemon import CONF, Daemon, Implementation
from pyfw.demo.namespace import Namespace, Unavailable

# -P keeps the script's folder out of sys.path.
COMMAND = (
    *(sys.executable, "-P"),
    str(Path(__file__).parents[1] / "bench" / "baseline" / "__main__.py"),
)


def without_cipher() -> Implementation:
    """Returns pyfw with its cipher off, for measurements only. Raises Unavailable."""
    _require_bench_build()
    command = (*COMMAND, "without-cipher", CONF)
    return Implementation("pyfw without cipher", command, by_setconf=False)


def bare() -> Implementation:
    """Returns a forwarder from TUN to UDP and back that does nothing else. Raises Unavailable."""
    _require_bench_build()
    return Forwarder("TUN to UDP alone", (*COMMAND, "bare", CONF))


def unavailable() -> str | None:
    """Returns why this pyfw has no baselines, or None."""
    from pyfw import _native

    if hasattr(_native, "passthrough"):
        return None
    return (
        "pyfw is built without the cargo feature `bench`: run `make setup` to build this checkout with it, "
        "or `make bench` to measure a release wheel"
    )


def _require_bench_build() -> None:
    if reason := unavailable():
        raise Unavailable(reason)


@dataclass(frozen=True)
class Forwarder(Implementation):
    """How to start `bench.baseline bare`."""

    def start(self, at: Namespace, conf: str) -> "ForwarderDaemon":
        """Starts it in a machine with a wg-quick file."""
        return ForwarderDaemon(at, self, conf)


class ForwarderDaemon(Daemon):
    """The forwarder. It has no socket for `wg`, and prints "up" instead."""

    def wait_until_up(self) -> Self:
        """Waits until it has opened the TUN, and sets the interface up."""
        self.process.wait_for("up\n")
        self.set_link(self._conf)
        return self
