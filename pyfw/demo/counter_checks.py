"""A pyfw daemon's counters, judged: nothing late, nothing vanished.

The one place outside the daemon that knows the keys (see pyfw.Tunnel.counters).
"""

from dataclasses import dataclass
from typing import Any


def late(counters: dict[str, Any]) -> int:
    """Data messages that came below the highest counter already seen: exact reordering."""
    n: int = counters["inbound"]["late"]
    return n


def drops(counters: dict[str, Any]) -> dict[str, int]:
    """What was dropped, by path and reason; reasons without a drop are left out."""
    return {
        f"{path}.{reason}": n
        for path in ("outbound", "datagrams", "inbound")
        for reason, n in counters[path]["drops"].items()
        if n
    }


def imbalances(counters: dict[str, Any]) -> list[str]:
    """Where the conservation law (design §3.7) does not hold; nothing, if all is well."""
    found = []
    for path in ("outbound", "inbound"):
        row = counters[path]
        came = row["entered"] + row["created"]
        went = row["left"] + row["queued"] + sum(row["drops"].values())
        if came != went:
            found.append(f"{path}: {came} came, {went} accounted for: {row}")
    row = counters["datagrams"]
    kinds = sum(row[kind] for kind in ("data", "handshakes", "cookies", "keepalives", "others"))
    if row["received"] != kinds + sum(row["drops"].values()):
        found.append(f"datagrams: {row}")
    if row["data"] != counters["inbound"]["entered"]:
        found.append(
            f"{row['data']} data messages, {counters['inbound']['entered']} packets entered"
        )
    return found


@dataclass(frozen=True)
class GsoBatches:
    """The sends of a daemon."""

    batches: int
    datagrams: int
    # How many carried 1, 2, 3–4, 5–8, 9–16, 17–32, 33–64, more datagrams.
    sizes: tuple[int, ...]

    @property
    def mean(self) -> float:
        """Datagrams in a batch, on average."""
        return self.datagrams / self.batches if self.batches else 0.0


def gso(counters: dict[str, Any]) -> GsoBatches:
    """What a daemon sent, by batch."""
    row = counters["gso"]
    return GsoBatches(row["batches"], row["datagrams"], tuple(row["sizes"]))
