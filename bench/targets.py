"""The targets of pyfw against peers and against the machine's baseline, evaluated on a run.

Each is evaluated in the network of IPv4 and MTU 1420, on medians over interleaved rounds, with the default
configuration. Targets that depend on the cipher are evaluated with each cipher that was measured, with a
bound of its own.
"""

import operator
from collections.abc import Iterator
from dataclasses import dataclass

from bench.plan import MAIN
from bench.quantities import QUANTITIES, title
from bench.results import Results, Spread, ratio, spread

MET, MISSED, NOT_MEASURED = "met", "MISSED", "not measured"
_REFERENCE = "tailscale"
# The fewest rounds that give a verdict.
ROUNDS = 5
_MEMORY_MIB = 64
_RELATIONS = {"at least": operator.ge, "at most": operator.le}


@dataclass(frozen=True)
class Target:
    """A target and the value that the run gave."""

    what: str
    # The cipher of pyfw, and what pyfw is compared with. Either is empty if it does not apply.
    cipher: str
    over: str
    # "at least" or "at most".
    relation: str
    bound: float
    found: Spread | None
    unit: str = ""

    @property
    def label(self) -> str:
        """The target in one line, without its bound."""
        over = f", over {self.over}" if self.over else ""
        ours = f"pyfw ({self.cipher}): " if self.cipher else ""
        return f"{ours}{self.what}{over}"

    @property
    def is_count(self) -> bool:
        """Whether the value is a count; otherwise it is a ratio or has a unit."""
        return not self.over and not self.unit

    @property
    def state(self) -> str:
        """MET, MISSED or NOT_MEASURED."""
        if self.found is None:
            return NOT_MEASURED
        return MET if _RELATIONS[self.relation](self.found.value, self.bound) else MISSED


def evaluate(results: Results) -> list[Target]:
    """Returns all targets in a fixed order."""
    return [
        *_over_reference(results),
        *_over_baseline(results),
        *_small_and_delay(results),
        *_order_and_memory(results),
    ]


def exit_status(targets: list[Target], rounds: int) -> int:
    """Returns 0 if all are met, 1 if one is missed, 2 if none is missed but some are not measured."""
    states = {target.state for target in targets}
    if MISSED in states:
        return 1
    return 2 if NOT_MEASURED in states or rounds < ROUNDS else 0


def _over_reference(results: Results) -> Iterator[Target]:
    for name, bound in _by_cipher(results, 2.0, 1.6):
        for direction in ("up", "down"):
            yield _over_peer(results, name, f"tcp-1-{direction}", "gbit_s", _REFERENCE, bound)
    for name, bound in _by_cipher(results, 1.8, 1.45):
        for direction in ("up", "down"):
            yield _over_peer(results, name, f"tcp-8-{direction}", "gbit_s", _REFERENCE, bound)
    for name, bound in _by_cipher(results, 0.45, 0.6):
        for direction in ("up", "down"):
            yield _over_peer(results, name, f"tcp-1-{direction}", "cpu_s_gb", _REFERENCE, bound)


def _over_baseline(results: Results) -> Iterator[Target]:
    for name, bound in _by_cipher(results, 1.2, 1.2):
        cipher = results.entries[name].cipher
        for direction in ("up", "down"):
            measure = f"tcp-1-{direction}"
            baseline = baseline_values(results, MAIN.name, measure, cipher)
            found = ratio(results.values(MAIN.name, measure, name, "cpu_s_gb"), baseline)
            what = f"{title(measure)}, CPU"
            yield Target(what, cipher, "the machine's baseline", "at most", bound, found)


def baseline_values(results: Results, net: str, measure: str, cipher: str) -> dict[int, float]:
    """Returns by round the CPU-s/GB of the path without its cipher, plus sealing and opening."""
    path = results.values(net, measure, "cipher-off", "cpu_s_gb")
    alone = results.values(net, "cipher", cipher, "cpu_s_gb")
    return {number: path[number] + alone[number] for number in path if number in alone}


def _small_and_delay(results: Results) -> Iterator[Target]:
    for measure, quantity, bound in (
        ("udp-64-30000", "cpu_us_packet", 0.5),
        ("udp-64-flood", "received_s", 3.0),
        ("rtt-idle", "p50_us", 1.25),
    ):
        best = results.best_peer(MAIN.name, measure, quantity)
        yield _over_peer(results, "pyfw", measure, quantity, best, bound)
    yield _over_peer(results, "pyfw", "tcp-1-up", "p50_us", _REFERENCE, 0.4)
    suffix = " during that delay"
    yield _over_peer(results, "pyfw", "tcp-1-up", "gbit_s", _REFERENCE, 1.8, suffix)


def _order_and_memory(results: Results) -> Iterator[Target]:
    ours = [name for name, entry in results.entries.items() if entry.kind == "ours"]
    records = [record for record in results.document.records if record.candidate in ours]
    late = [float(record.values["late"]) for record in records if "late" in record.values]
    yield Target("late counters in all rounds", "", "", "at most", 0, _total(late))
    unexplained = [
        0.0 if record.drops else record.values["out_of_order"]
        for record in records
        if "out_of_order" in record.values
    ]
    what = "out-of-order segments without a counted drop"
    yield Target(what, "", "", "at most", 0, _total(unexplained))
    failed = [float(bool(record.failed)) for record in records]
    yield Target("failed measures", "", "", "at most", 0, _total(failed))
    for name in ours:
        values = [
            value
            for net in results.networks()
            for value in results.values(net, "memory", name, "peak_rss_mib").values()
        ]
        # The highest peak, not the median.
        peak = spread(values) and Spread(max(values), min(values), max(values))
        what = "peak memory of a daemon under load"
        yield Target(what, results.entries[name].cipher, "", "at most", _MEMORY_MIB, peak, "MiB")


def _total(values: list[float]) -> Spread | None:
    return Spread(sum(values), min(values), max(values)) if values else None


def _over_peer(
    results: Results,
    ours: str,
    measure: str,
    quantity: str,
    theirs: str | None,
    bound: float,
    suffix: str = "",
) -> Target:
    relation = "at least" if QUANTITIES[quantity].more_is_better else "at most"
    found = results.ratio(MAIN.name, measure, quantity, ours, theirs) if theirs else None
    peer = results.title(theirs) if theirs else "the best peer"
    what = f"{title(measure)}, {QUANTITIES[quantity].title.partition(',')[0]}{suffix}"
    cipher = results.entries[ours].cipher if ours in results.entries else ""
    return Target(what, cipher, peer, relation, bound, found)


def _by_cipher(results: Results, ipsec_mb: float, ring: float) -> list[tuple[str, float]]:
    """Returns each candidate that is pyfw with the bound of its cipher."""
    ours = [entry for entry in results.entries.values() if entry.kind == "ours"]
    return [(entry.name, ipsec_mb if entry.cipher == "ipsec-mb" else ring) for entry in ours]
