"""What is compared with what. In: runs in any number. Out: comparisons, one a case, with the same flow
of different rules side by side. Order: cases and rules stay as they were given; flows are put worst
first, then largest first, where only some of them are drawn.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

SENT, IN_ORDER, EARLY, LATE, DUPLICATE = range(5)


@dataclass(frozen=True)
class Run:
    """One replay: a case under a rule, and what came out."""

    title: str
    rule: str
    case: str
    result: Mapping[str, Any]
    """As `pyfw._native.replay` returns it."""
    expected_ok: bool | None = None
    """Whether it came out as the case expects; None: nothing was expected."""
    diff: str = ""

    def total(self, field_name: str) -> int:
        """The sum of a field over all flows."""
        return sum(flow[field_name] for flow in self.result["flows"])

    @cached_property
    def batch_sizes(self) -> dict[int, int]:
        """{datagrams in a batch: batches}, of data alone where all batches were kept, else of all."""
        batches = self.result["batches"]
        if len(batches) == self.result["batch_count"]:
            return dict(Counter(len(batch["lengths"]) for batch in batches if is_data(batch)))
        return {int(size): n for size, n in self.result["batch_sizes"].items()}

    @property
    def batches(self) -> int:
        """How many batches; of data alone where that is known."""
        return sum(self.batch_sizes.values())

    @property
    def datagrams(self) -> int:
        """Datagrams in these batches."""
        return sum(size * n for size, n in self.batch_sizes.items())

    @cached_property
    def points(self) -> dict[int, list[Sequence[int]]]:
        """The points that were kept, by flow, in the order in which they happened."""
        found: dict[int, list[Sequence[int]]] = {}
        for point in self.result["points"]:
            found.setdefault(point[1], []).append(point)
        return found


def is_data(batch: Mapping[str, Any]) -> bool:
    """Whether a batch carries packets: not a handshake, not a keepalive."""
    return any(batch["inner"])


@dataclass(frozen=True)
class Flow:
    """A flow, as each rule left it: `rows` beside the comparison's runs, None where a run lacks it."""

    name: tuple[str, str, str, str]
    """End, protocol, source, destination."""
    rows: Sequence[Mapping[str, Any] | None]

    def largest(self, field_name: str) -> int:
        """The largest value that any rule gave."""
        return max((row[field_name] for row in self.rows if row), default=0)

    @property
    def out_of_order(self) -> int:
        """Early, late and duplicate segments, over all rules."""
        return sum(row["early"] + row["late"] + row["duplicates"] for row in self.rows if row)

    def __str__(self) -> str:
        _, protocol, source, destination = self.name
        return f"{protocol} {source} → {destination}"


@dataclass(frozen=True)
class Comparison:
    """One case under one rule or more."""

    case: str
    runs: list[Run] = field(default_factory=list)

    @property
    def passed(self) -> bool | None:
        """Whether all runs came out as expected; None: none was expected to."""
        verdicts = [run.expected_ok for run in self.runs if run.expected_ok is not None]
        return all(verdicts) if verdicts else None

    @cached_property
    def flows(self) -> list[Flow]:
        """Every flow once, in order of appearance, whatever number a run gave it."""
        found: dict[tuple[Any, ...], list[Mapping[str, Any] | None]] = {}
        for column, run in enumerate(self.runs):
            for key, flow in _numbered(run.result["flows"]):
                found.setdefault(key, [None] * len(self.runs))[column] = flow
        return [Flow(key[:4], rows) for key, rows in found.items()]

    @cached_property
    def worst_flows(self) -> list[Flow]:
        """The flows, most out of order first, then largest first."""
        return sorted(self.flows, key=lambda flow: (-flow.out_of_order, -flow.largest("segments")))

    @cached_property
    def start_ns(self) -> int:
        """The instant that the page calls zero."""
        times = [point[0] for run in self.runs for point in run.result["points"]]
        times += [batch["time_ns"] for run in self.runs for batch in run.result["batches"]]
        return min(times, default=0)

    @property
    def truncated(self) -> bool:
        """Whether a run kept only its beginning."""
        return any(run.result["truncated"] for run in self.runs)


def compare(runs: Sequence[Run]) -> list[Comparison]:
    """Puts runs of one case together."""
    found: dict[str, Comparison] = {}
    for run in runs:
        found.setdefault(run.case, Comparison(run.case)).runs.append(run)
    return list(found.values())


def _numbered(
    flows: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[tuple[Any, ...], Mapping[str, Any]]]:
    # Ports are used again: the n-th flow of a name is the n-th of it under every rule.
    seen: dict[tuple[str, str, str, str], int] = {}
    for flow in flows:
        name = (flow["end"], flow["protocol"], flow["source"], flow["destination"])
        seen[name] = seen.get(name, 0) + 1
        yield (*name, seen[name]), flow
