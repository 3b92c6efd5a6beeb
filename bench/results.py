"""The results of a run: the JSON document, and the medians and ratios that tables and targets use.

There is one record for each round, network, candidate and measure. A ratio is that of the medians; its spread
is that of the rounds, since values of one round are measured within a minute of each other. A record that
failed has no values and is ignored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median

import msgspec

from bench.quantities import QUANTITIES
from lab.machine import Machine


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """When a run was made, and what else used the machine."""

    started: str
    """ISO 8601, UTC."""
    load_average: float
    """Over the minute before the run."""
    stolen: float
    """Share of CPU time that the hypervisor gave to other machines during the run."""
    python: str


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate in the results."""

    name: str
    kind: str
    title: str
    version: str
    cipher: str = ""
    """The cipher in force; only of pyfw."""


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One measure of one candidate in one round."""

    round: int
    net: str
    candidate: str
    measure: str
    values: dict[str, float] = {}
    drops: dict[str, int] = {}
    failed: str = ""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run."""

    machine: Machine
    conditions: Conditions
    plan: str
    rounds: int
    candidates: list[Entry]
    left_out: dict[str, str] = {}
    records: list[Record] = []

    @classmethod
    def load(cls, path: Path) -> "Document":
        """Reads a file. Raises ValueError or OSError."""
        return msgspec.json.decode(path.read_bytes(), type=cls)

    def save(self, path: Path) -> None:
        """Writes a file."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")


@dataclass(frozen=True)
class Spread:
    """A value with the lowest and the highest round."""

    value: float
    low: float
    high: float


class Results:
    """A document with its medians and ratios."""

    def __init__(self, document: Document) -> None:
        self.document = document

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """Candidates by name."""
        return {entry.name: entry for entry in self.document.candidates}

    def title(self, name: str) -> str:
        """Returns the title of a candidate; others, such as ciphers, keep their name."""
        return self.entries[name].title if name in self.entries else name

    @cached_property
    def _by_key(self) -> dict[tuple[str, str, str], list[Record]]:
        found: dict[tuple[str, str, str], list[Record]] = {}
        for record in self.document.records:
            found.setdefault((record.net, record.measure, record.candidate), []).append(record)
        return found

    def records(self, net: str, measure: str, candidate: str) -> list[Record]:
        """Returns all rounds, including those that failed."""
        return self._by_key.get((net, measure, candidate), [])

    def networks(self) -> list[str]:
        """Returns the networks in the order of measurement."""
        return list(dict.fromkeys(record.net for record in self.document.records))

    def measures(self, net: str) -> list[str]:
        """Returns the measures in the order of measurement."""
        records = self.document.records
        return list(dict.fromkeys(record.measure for record in records if record.net == net))

    def candidates(self, net: str, measure: str) -> list[str]:
        """Returns the candidates of a measure in the document's order, then others, such as ciphers."""
        measured = dict.fromkeys(
            record.candidate
            for record in self.document.records
            if record.net == net and record.measure == measure
        )
        known = [name for name in self.entries if name in measured]
        return known + [name for name in measured if name not in self.entries]

    def quantities(self, net: str, measure: str) -> list[str]:
        """Returns the quantities that any candidate has values of."""
        present = {
            key
            for record in self.document.records
            if record.net == net and record.measure == measure
            for key in record.values
        }
        return [key for key in QUANTITIES if key in present]

    def values(self, net: str, measure: str, candidate: str, quantity: str) -> dict[int, float]:
        """Returns the values by round."""
        return {
            record.round: record.values[quantity]
            for record in self.records(net, measure, candidate)
            if quantity in record.values
        }

    def spread(self, net: str, measure: str, candidate: str, quantity: str) -> Spread | None:
        """Returns the median with its spread; None if nothing was measured."""
        return spread(list(self.values(net, measure, candidate, quantity).values()))

    def ratio(self, net: str, measure: str, quantity: str, ours: str, theirs: str) -> Spread | None:
        """Returns ours over theirs; None if either has no values."""
        return ratio(
            self.values(net, measure, ours, quantity), self.values(net, measure, theirs, quantity)
        )

    def best_peer(self, net: str, measure: str, quantity: str) -> str | None:
        """Returns the peer with the best median; None if no peer was measured."""
        medians = {
            name: found.value
            for name, entry in self.entries.items()
            if entry.kind == "peer" and (found := self.spread(net, measure, name, quantity))
        }
        if not medians:
            return None
        pick = max if QUANTITIES[quantity].more_is_better else min
        return pick(medians, key=lambda name: medians[name])

    def count(self, net: str, measure: str, candidate: str, name: str) -> int | None:
        """Returns a count, summed over the rounds; None if the candidate has none."""
        counted = self.values(net, measure, candidate, name)
        return round(sum(counted.values())) if counted else None

    def drops(self, net: str, measure: str, candidate: str) -> dict[str, int]:
        """Returns the drops by layer, summed over the rounds."""
        found: dict[str, int] = {}
        for record in self.records(net, measure, candidate):
            for layer, n in record.drops.items():
                found[layer] = found.get(layer, 0) + n
        return found

    def failures(self) -> list[Record]:
        """Returns the records that failed."""
        return [record for record in self.document.records if record.failed]


def spread(values: Sequence[float]) -> Spread | None:
    """Returns the median, lowest and highest value; None without values."""
    return Spread(median(values), min(values), max(values)) if values else None


def ratio(ours: dict[int, float], theirs: dict[int, float]) -> Spread | None:
    """Returns the ratio of the medians, with the lowest and highest ratio of the rounds that have both."""
    if not ours or not theirs or not (divisor := median(theirs.values())):
        return None
    value = median(ours.values()) / divisor
    rounds = [ours[n] / theirs[n] for n in ours if theirs.get(n)]
    return Spread(value, min(rounds, default=value), max(rounds, default=value))
