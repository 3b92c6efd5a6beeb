"""The interface of a measure and its result."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lab.measure.tunnel import MeasuredTunnel


@dataclass(frozen=True)
class Sample:
    """The result of one measure of one tunnel.

    values: by quantity, in the unit that its name ends with: gbit_s, cpu_s_gb, cpu_us_packet, p50_us, …
    Counts, such as late and out_of_order, cover the whole load, warm-up included.
    drops: packets by layer (`LAYERS`), without layers that dropped nothing.
    """

    values: dict[str, float]
    drops: dict[str, int] = field(default_factory=dict)


class Measure(Protocol):
    """A load and how to measure it."""

    @property
    def name(self) -> str:
        """Its name in results, such as "tcp-1-up"."""

    def run(self, tunnel: MeasuredTunnel, seconds: float) -> Sample:
        """Measures for a window of that length. Raises RuntimeError if the tunnel carries nothing."""


def percentile(values: Sequence[float], share: float) -> float:
    """Returns the smallest value with at least this share of all values at or below it (nearest rank)."""
    if not values:
        raise ValueError("no values")
    rank = math.ceil(share * len(values))
    return sorted(values)[max(rank, 1) - 1]
