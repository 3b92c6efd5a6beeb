"""Pings through the tunnel, one end's kernel to the other's: the delay of the tunnel alone."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pyfw.lab.measure.sample import Sample, percentile
from pyfw.lab.measure.subject import Subject
from pyfw.lab.process import Process

_INTERVAL_S = 0.002


@dataclass(frozen=True)
class Pings:
    """A tunnel with nothing else to do."""

    name: str = "rtt-idle"

    def run(self, subject: Subject, seconds: float) -> Sample:
        """p50_us and p99_us."""
        process = start_pings(subject, max(round(seconds / _INTERVAL_S), 1), _INTERVAL_S)
        return Sample(ping_values(ping_times(process)))


def start_pings(subject: Subject, count: int, interval_s: float) -> Process:
    """Starts ping(8) at the client."""
    return subject.pair.network.client.start(
        *("ping", "-n", "-W", "1", "-i", f"{interval_s:g}", "-c", str(count)),
        subject.gateway_address,
    )


def ping_times(process: Process, timeout_s: float = 30) -> list[float]:
    """Microseconds of each answer, once it has ended. Raises RuntimeError if there was none."""
    return times(process.wait(timeout_s))


def times(output: str) -> list[float]:
    """The microseconds in what ping(8) prints."""
    found = [float(time) * 1000 for time in re.findall(r"time=([\d.]+) ms", output)]
    if not found:
        raise RuntimeError(f"no answer to any ping: {output.strip()}")
    return found


def ping_values(times_us: Sequence[float]) -> dict[str, float]:
    """p50_us and p99_us."""
    return {"p50_us": percentile(times_us, 0.5), "p99_us": percentile(times_us, 0.99)}
