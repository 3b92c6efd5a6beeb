"""Pings through the tunnel, one end's kernel to the other's: the delay of the tunnel alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.measure.sample import Sample, percentile
from lab.measure.subject import Party, Subject

_INTERVAL_S = 0.002


@dataclass(frozen=True)
class Pings:
    """A tunnel with nothing else to do."""

    name: str = "rtt-idle"

    def run(self, subject: Subject, seconds: float) -> Sample:
        """p50_us and p99_us, unanswered."""
        seen = subject.observe(seconds, pinging(subject, _INTERVAL_S))
        return Sample(delays(seen.told[0]), seen.counted.drops())


def pinging(subject: Subject, interval_s: float) -> Party:
    """The client, which pings the gateway."""
    client = subject.pair.network.client
    return Party(client, "pings", (subject.gateway_address, interval_s))


def delays(told: Mapping[str, Any]) -> dict[str, float]:
    """p50_us, p99_us and unanswered, of what the pinging party told.

    Raises RuntimeError if there was no answer.
    """
    times_us, unanswered = told["microseconds"], told["unanswered"]
    if not times_us:
        raise RuntimeError(f"no answer to any of {unanswered} pings")
    return {
        "p50_us": percentile(times_us, 0.5),
        "p99_us": percentile(times_us, 0.99),
        "unanswered": unanswered,
    }
