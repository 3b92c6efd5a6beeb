"""A run's results: one document, as it is written to JSON, and the questions that tables and bars ask it.

In: records, one a round, network, candidate and measure. Out: medians with their spread, and ratios:
the ratio of the medians, and the least and the most of the rounds', each of which was measured within a
minute. A record that failed has no values, and counts nowhere.
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
    """When and among what else it was."""

    started: str
    """ISO 8601, UTC."""
    load_average: float
    """Of the minute before: what else ran."""
    stolen: float
    """Share of the processors' time that the hypervisor gave to others during the run."""
    python: str


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate, as tables know it."""

    name: str
    kind: str
    title: str
    version: str
    cipher: str = ""
    """What pyfw says is in force."""


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
    """A value and between what it lay."""

    value: float
    least: float
    most: float


class Results:
    """A document that can be asked."""

    def __init__(self, document: Document) -> None:
        self.document = document

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """Candidates by name."""
        return {entry.name: entry for entry in self.document.candidates}

    def title(self, name: str) -> str:
        """What a candidate is called; others, as ciphers are, by their name."""
        return self.entries[name].title if name in self.entries else name

    @cached_property
    def _by_key(self) -> dict[tuple[str, str, str], list[Record]]:
        found: dict[tuple[str, str, str], list[Record]] = {}
        for record in self.document.records:
            found.setdefault((record.net, record.measure, record.candidate), []).append(record)
        return found

    def records(self, net: str, measure: str, candidate: str) -> list[Record]:
        """All rounds, also those that failed."""
        return self._by_key.get((net, measure, candidate), [])

    def nets(self) -> list[str]:
        """In the order in which they were measured."""
        return list(dict.fromkeys(record.net for record in self.document.records))

    def measures(self, net: str) -> list[str]:
        """In the order in which they were measured."""
        records = self.document.records
        return list(dict.fromkeys(record.measure for record in records if record.net == net))

    def candidates(self, net: str, measure: str) -> list[str]:
        """Those that took part, in the document's order; then others, as ciphers are."""
        took_part = dict.fromkeys(
            record.candidate
            for record in self.document.records
            if record.net == net and record.measure == measure
        )
        known = [name for name in self.entries if name in took_part]
        return known + [name for name in took_part if name not in self.entries]

    def quantities(self, net: str, measure: str) -> list[str]:
        """What some candidate has values of."""
        there = {
            key
            for record in self.document.records
            if record.net == net and record.measure == measure
            for key in record.values
        }
        return [key for key in QUANTITIES if key in there]

    def values(self, net: str, measure: str, candidate: str, quantity: str) -> dict[int, float]:
        """By round."""
        return {
            record.round: record.values[quantity]
            for record in self.records(net, measure, candidate)
            if quantity in record.values
        }

    def spread(self, net: str, measure: str, candidate: str, quantity: str) -> Spread | None:
        """Median, least and most; None where nothing was measured."""
        return spread(list(self.values(net, measure, candidate, quantity).values()))

    def ratio(self, net: str, measure: str, quantity: str, ours: str, theirs: str) -> Spread | None:
        """Ours over theirs; None where one of them has no values."""
        return ratio(
            self.values(net, measure, ours, quantity), self.values(net, measure, theirs, quantity)
        )

    def best_peer(self, net: str, measure: str, quantity: str) -> str | None:
        """The peer with the best median; None where no peer was measured."""
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
        """A count, added up over the rounds; None where nobody counted."""
        counted = self.values(net, measure, candidate, name)
        return round(sum(counted.values())) if counted else None

    def drops(self, net: str, measure: str, candidate: str) -> dict[str, int]:
        """By layer, added up over the rounds."""
        found: dict[str, int] = {}
        for record in self.records(net, measure, candidate):
            for layer, n in record.drops.items():
                found[layer] = found.get(layer, 0) + n
        return found

    def failures(self) -> list[Record]:
        """What could not be measured."""
        return [record for record in self.document.records if record.failed]


def spread(values: Sequence[float]) -> Spread | None:
    """Median, least and most; None of nothing."""
    return Spread(median(values), min(values), max(values)) if values else None


def ratio(ours: dict[int, float], theirs: dict[int, float]) -> Spread | None:
    """The ratio of the medians, with the least and the most of the rounds that have both."""
    if not ours or not theirs or not (below := median(theirs.values())):
        return None
    value = median(ours.values()) / below
    rounds = [ours[n] / theirs[n] for n in ours if theirs.get(n)]
    return Spread(value, min(rounds, default=value), max(rounds, default=value))
