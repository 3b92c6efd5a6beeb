"""What a measure is, and what one of it gives."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lab.measure.subject import Subject


@dataclass(frozen=True)
class Sample:
    """One measure of one tunnel.

    values: by quantity, in the unit of its name: gbit_s, cpu_s_gb, cpu_us_packet, p50_us, … Counts,
    such as late and out_of_order, are of the whole load, the warm-up included.
    drops: by layer (`LAYERS`), packets; a layer without a drop is left out.
    """

    values: dict[str, float]
    drops: dict[str, int] = field(default_factory=dict)


class Measure(Protocol):
    """A load and the way to measure it."""

    @property
    def name(self) -> str:
        """What it is called in results, such as "tcp-1-up"."""

    def run(self, subject: Subject, seconds: float) -> Sample:
        """Measures for a window of that length. Raises RuntimeError where the tunnel does not carry."""


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that has at least this share of all at or below it (nearest rank)."""
    if not values:
        raise ValueError("no values")
    rank = math.ceil(share * len(values))
    return sorted(values)[max(rank, 1) - 1]
