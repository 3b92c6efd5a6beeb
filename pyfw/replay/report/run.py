"""Groups runs by case, and matches the flows of one case under different rules.

Cases and rules keep their order. If only some flows are drawn, those most out of order come first, then the
largest.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

SENT, IN_ORDER, EARLY, LATE, DUPLICATE = range(5)


@dataclass(frozen=True)
class Run:
    """One replay of a case under a rule, and its result."""

    title: str
    rule: str
    case: str
    result: Mapping[str, Any]
    """As `pyfw._native.replay` returns it."""
    expected_ok: bool | None = None
    """Whether the result is as expected; None if it was not compared."""
    diff: str = ""

    def total(self, field_name: str) -> int:
        """Returns the sum of a field over all flows."""
        return sum(flow[field_name] for flow in self.result["flows"])

    @cached_property
    def batch_sizes(self) -> dict[int, int]:
        """{datagrams in a batch: batches}, without handshakes and keepalives."""
        return {int(size): n for size, n in self.result["batch_sizes"].items()}

    @property
    def batches(self) -> int:
        """The number of data batches."""
        return sum(self.batch_sizes.values())

    @property
    def datagrams(self) -> int:
        """The datagrams in these batches."""
        return sum(size * n for size, n in self.batch_sizes.items())

    @cached_property
    def points(self) -> dict[int, list[Sequence[int]]]:
        """The points kept, by flow, in order of time."""
        by_flow: dict[int, list[Sequence[int]]] = {}
        for point in self.result["points"]:
            by_flow.setdefault(point[1], []).append(point)
        return by_flow


def is_data(batch: Mapping[str, Any]) -> bool:
    """Returns whether a batch carries packets, unlike a handshake or keepalive."""
    return any(batch["inner"])


@dataclass(frozen=True)
class Flow:
    """A flow under each rule."""

    name: tuple[str, str, str, str]
    """End, protocol, source, destination."""
    rows: Sequence[Mapping[str, Any] | None]
    """The counts of each of the comparison's runs; None if the run lacks the flow."""

    def largest(self, field_name: str) -> int:
        """Returns the largest value under any rule."""
        return max((row[field_name] for row in self.rows if row), default=0)

    @property
    def out_of_order(self) -> int:
        """The early, late and duplicate segments under all rules."""
        return sum(row["early"] + row["late"] + row["duplicates"] for row in self.rows if row)

    def __str__(self) -> str:
        _, protocol, source, destination = self.name
        return f"{protocol} {source} → {destination}"


@dataclass(frozen=True)
class Comparison:
    """One case under one or more rules."""

    case: str
    runs: list[Run] = field(default_factory=list)

    @property
    def passed(self) -> bool | None:
        """Whether all compared runs are as expected; None if none was compared."""
        verdicts = [run.expected_ok for run in self.runs if run.expected_ok is not None]
        return all(verdicts) if verdicts else None

    @cached_property
    def flows(self) -> list[Flow]:
        """Every flow once, in order of appearance, regardless of its number in a run."""
        rows: dict[tuple[Any, ...], list[Mapping[str, Any] | None]] = {}
        for column, run in enumerate(self.runs):
            for key, flow in _numbered(run.result["flows"]):
                rows.setdefault(key, [None] * len(self.runs))[column] = flow
        return [Flow(key[:4], columns) for key, columns in rows.items()]

    @cached_property
    def worst_flows(self) -> list[Flow]:
        """The flows, most out of order first, then largest first."""
        return sorted(self.flows, key=lambda flow: (-flow.out_of_order, -flow.largest("segments")))

    @cached_property
    def start_ns(self) -> int:
        """Time zero of the page."""
        times = [point[0] for run in self.runs for point in run.result["points"]]
        times += [batch["time_ns"] for run in self.runs for batch in run.result["batches"]]
        return min(times, default=0)

    @property
    def truncated(self) -> bool:
        """Whether a run's points or batches are truncated."""
        return any(run.result["truncated"] for run in self.runs)


def compare(runs: Sequence[Run]) -> list[Comparison]:
    """Groups runs by case."""
    by_case: dict[str, Comparison] = {}
    for run in runs:
        by_case.setdefault(run.case, Comparison(run.case)).runs.append(run)
    return list(by_case.values())


def _numbered(
    flows: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[tuple[Any, ...], Mapping[str, Any]]]:
    # Ports are reused: the n-th flow of a name corresponds to the n-th one under every other rule.
    seen: dict[tuple[str, str, str, str], int] = {}
    for flow in flows:
        name = (flow["end"], flow["protocol"], flow["source"], flow["destination"])
        seen[name] = seen.get(name, 0) + 1
        yield (*name, seen[name]), flow
