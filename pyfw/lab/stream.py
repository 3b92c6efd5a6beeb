"""A stream of numbered datagrams through the lab: what came, what was lost, how long it was silent.

    stream = Stream(client, server, address, seconds=5)
    ... something happens ...
    result = stream.finish()
"""

import json
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from pyfw.lab.namespace import Namespace

_SCRIPT = [sys.executable, "-P", str(Path(__file__).with_name("numbered.py"))]
_PORT = 5311
# What is on its way when the source has ended needs a moment.
_TAIL_S = 0.3


@dataclass(frozen=True)
class Result:
    """A finished stream. Times are of CLOCK_MONOTONIC, in seconds, as `time.monotonic` here."""

    sent: int
    started: float
    ended: float
    refusals: dict[str, int]
    """What the source's kernel refused, by the name of the error."""
    arrivals: list[tuple[int, float]]
    """Numbers in order of arrival."""

    @property
    def lost(self) -> int:
        """How many never came."""
        return self.sent - len({number for number, _ in self.arrivals})

    @property
    def duplicates(self) -> int:
        """How many came more than once."""
        return len(self.arrivals) - len({number for number, _ in self.arrivals})

    @property
    def late(self) -> int:
        """How many came behind a higher number."""
        highest, late = -1, 0
        for number, _ in self.arrivals:
            late += number < highest
            highest = max(highest, number)
        return late

    def silence_s(self, since: float | None = None) -> float:
        """The longest time without an arrival; after `since`, up to the end of the source."""
        begin = self.started if since is None else since
        times = [begin, *(at for _, at in self.arrivals if at > begin), max(begin, self.ended)]
        return max(after - before for before, after in pairwise(times))

    def lost_after(self, since: float) -> int:
        """How many of those that were sent after `since` never came."""
        rate = self.sent / (self.ended - self.started)
        first = int((since - self.started) * rate) + 1
        came = {number for number, _ in self.arrivals if number >= first}
        return self.sent - first - len(came)


class Stream:
    """A running stream from one machine to another."""

    def __init__(
        self,
        source: Namespace,
        sink: Namespace,
        address: str,
        *,
        seconds: float,
        rate: int = 1000,
        size: int = 200,
        port: int = _PORT,
    ) -> None:
        """`size` is of the payload, in bytes; `rate` is datagrams a second."""
        self._sink = sink.start(*_SCRIPT, "sink", address, str(port))
        self._sink.wait_for("listening")
        numbers = [str(port), str(seconds), str(rate), str(size)]
        self._source = source.start(*_SCRIPT, "source", address, *numbers)
        self._seconds = seconds

    def finish(self) -> Result:
        """Waits for its end."""
        given = json.loads(self._source.wait(self._seconds + 30))
        time.sleep(_TAIL_S)
        self._sink.stop()
        arrivals = json.loads(self._sink.output().partition("listening\n")[2])
        return Result(**given, arrivals=[(number, at) for number, at in arrivals])
