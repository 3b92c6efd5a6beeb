"""A UDP stream with sequence numbers, both ways at once: counts losses, duplicates, reordering and silence.

    with Stream(network.client, network.gateway, TUNNEL["client"].v4, TUNNEL["gateway"].v4) as stream:
        ...  # what the traffic has to survive
    assert stream.up.lost == 0 and stream.down.longest_silence_s < 0.2, stream

Two processes of `sequenced_udp` send at a fixed rate, whatever happens between them.
"""

import json
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pyfw.demo.namespace import Namespace

_PORT = 5302
_SCRIPT = [sys.executable, "-P", str(Path(__file__).with_name("sequenced_udp.py"))]
_RANGES_SHOWN = 8


@dataclass(frozen=True)
class StreamDirection:
    """One direction of a finished stream."""

    sent: int
    """Datagrams that the sender's kernel accepted."""
    refused: int
    """Datagrams that it refused (no route, no address, full queue)."""
    lost: int
    """Datagrams sent that never arrived."""
    lost_ranges: tuple[tuple[int, int], ...]
    """First and last number of each run of lost datagrams, without refused ones."""
    duplicated: int
    """Datagrams that arrived again."""
    out_of_order: int
    """Datagrams that arrived after a higher number."""
    longest_silence_s: float
    """The longest time without a datagram while both ends were sending, from the start and to the end."""
    silent_since_s: float
    """When that silence began, from the start of the stream."""
    own_pause_s: float
    """The longest time that either script was not scheduled: silence that is not the tunnel's."""

    def __str__(self) -> str:
        text = (
            f"{self.sent} sent, {self.refused} refused, {self.lost} lost, {self.duplicated} duplicated, "
            f"{self.out_of_order} out of order, silent for {self.longest_silence_s:.3f} s from "
            f"{self.silent_since_s:.3f} s on (scripts paused for {self.own_pause_s:.3f} s)"
        )
        if self.lost_ranges:
            shown = ", ".join(f"{a}–{b}" for a, b in self.lost_ranges[:_RANGES_SHOWN])
            text += f"; lost {shown}" + (" …" if len(self.lost_ranges) > _RANGES_SHOWN else "")
        return text


class Stream:
    """Runs as a context manager; afterwards `up` (one to two) and `down` (two to one) have the results.

    `per_second` is the rate each way, `length` the UDP payload, at least 8 bytes.
    """

    up: StreamDirection
    down: StreamDirection

    def __init__(
        self,
        one: Namespace,
        two: Namespace,
        address_of_one: str,
        address_of_two: str,
        *,
        per_second: int = 1000,
        length: int = 200,
        port: int = _PORT,
    ) -> None:
        options = (str(port), str(per_second), str(length))
        self._ends = (
            one.start(*_SCRIPT, address_of_one, address_of_two, *options),
            two.start(*_SCRIPT, address_of_two, address_of_one, *options),
        )
        self._finished = False

    def __enter__(self) -> Self:
        for end in self._ends:
            end.wait_for("ready\n")
        for end in self._ends:
            end.signal(signal.SIGUSR1)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stops both ends at once and computes the results."""
        if self._finished:
            return
        self._finished = True
        for end in self._ends:
            end.signal(signal.SIGTERM)
        one, two = (json.loads(end.wait(10).removeprefix("ready\n")) for end in self._ends)
        self.up, self.down = direction(one, two), direction(two, one)

    def __str__(self) -> str:
        return f"up: {self.up}; down: {self.down}" if self._finished else "running"

    __repr__ = __str__


def direction(sender: dict[str, Any], receiver: dict[str, Any]) -> StreamDirection:
    """Returns the result of one direction from the reports of both ends."""
    refused = _numbers(sender["refused"])
    missing = set(range(sender["numbers"])) - _numbers(receiver["ranges"]) - refused
    runs: list[tuple[int, int]] = []
    for number in sorted(missing):
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return StreamDirection(
        sent=sender["numbers"] - len(refused),
        refused=len(refused),
        lost=len(missing),
        lost_ranges=tuple(runs),
        duplicated=receiver["duplicated"],
        out_of_order=receiver["out_of_order"],
        longest_silence_s=receiver["longest_silence_s"],
        silent_since_s=receiver["silent_since_s"],
        own_pause_s=max(sender["own_pause_s"], receiver["own_pause_s"]),
    )


def _numbers(ranges: list[list[int]]) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}
