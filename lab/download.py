"""A running download through the lab, and how fast it was at which time."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from pyfw.demo.namespace import Namespace

_SCRIPT = [sys.executable, "-P", str(Path(__file__).with_name("goodput.py"))]
_PORT = 5321


@dataclass(frozen=True)
class Goodput:
    """What the receiver's application had got by when. Times are of CLOCK_MONOTONIC, in seconds."""

    samples: list[tuple[float, int]]

    def mbit_s(self, begin: float, end: float) -> float:
        """The mean rate between two times, in Mbit/s, to the sample."""
        inside = [(at, count) for at, count in self.samples if begin <= at <= end]
        (first, low), (last, high) = inside[0], inside[-1]
        return (high - low) * 8 / (last - first) / 1e6


class Download:
    """One TCP flow from a machine to another, for some seconds."""

    def __init__(
        self, source: Namespace, sink: Namespace, address: str, seconds: float, port: int = _PORT
    ) -> None:
        """`address` is the source's."""
        self._giving = source.start(*_SCRIPT, "give", address, str(port))
        self._giving.wait_for("listening")
        self._taking = sink.start(*_SCRIPT, "take", address, str(port), str(seconds))
        self._seconds = seconds

    def finish(self) -> Goodput:
        """Waits for its end."""
        told = self._taking.wait(self._seconds + 30)
        self._giving.stop()
        return Goodput([(at, count) for at, count in json.loads(told)])
