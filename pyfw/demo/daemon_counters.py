"""Reads a pyfw daemon's counters: late datagrams, drops, GSO batches (see pyfw.Tunnel.counters)."""

from dataclasses import dataclass
from typing import Any


def late(counters: dict[str, Any]) -> int:
    """Returns how many data messages arrived below the highest counter already seen."""
    n: int = counters["inbound"]["late"]
    return n


def drops(counters: dict[str, Any]) -> dict[str, int]:
    """Returns the drops by "path.reason", without the reasons that count none."""
    return {
        f"{path}.{reason}": n
        for path in ("outbound", "datagrams", "inbound")
        for reason, n in counters[path]["drops"].items()
        if n
    }


@dataclass(frozen=True)
class GsoBatches:
    """The batches that a daemon has sent."""

    batches: int
    datagrams: int
    # Batches of 1, 2, 3–4, 5–8, 9–16, 17–32, 33–64 and more datagrams.
    sizes: tuple[int, ...]

    @property
    def mean(self) -> float:
        """Mean number of datagrams in a batch."""
        return self.datagrams / self.batches if self.batches else 0.0


def gso_batches(counters: dict[str, Any]) -> GsoBatches:
    """Returns what the daemon has sent."""
    row = counters["gso"]
    return GsoBatches(row["batches"], row["datagrams"], tuple(row["sizes"]))
