"""Runs a download in the background and reports its goodput over time; uses the script `goodput`."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from pyfw.demo.namespace import Namespace

_SCRIPT = [sys.executable, "-P", str(Path(__file__).with_name("goodput.py"))]
_PORT = 5321


@dataclass(frozen=True)
class Goodput:
    """How many bytes the receiving application had at which time of CLOCK_MONOTONIC, in seconds."""

    samples: list[tuple[float, int]]

    def mbit_s(self, begin: float, end: float) -> float:
        """Returns the mean rate between two times in Mbit/s, to the nearest samples inside."""
        inside = [(at, count) for at, count in self.samples if begin <= at <= end]
        (first, low), (last, high) = inside[0], inside[-1]
        return (high - low) * 8 / (last - first) / 1e6


class Download:
    """One TCP flow from one machine to another, for some seconds."""

    def __init__(
        self, source: Namespace, sink: Namespace, address: str, seconds: float, port: int = _PORT
    ) -> None:
        """`address` is the source's."""
        self._sender = source.start(*_SCRIPT, "send", address, str(port))
        self._sender.wait_for("listening")
        self._receiver = sink.start(*_SCRIPT, "receive", address, str(port), str(seconds))
        self._seconds = seconds

    def finish(self) -> Goodput:
        """Waits for the end and returns the result."""
        samples = json.loads(self._receiver.wait(self._seconds + 30))
        self._sender.stop()
        return Goodput([(at, count) for at, count in samples])
