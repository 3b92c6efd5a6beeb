"""The bars: what pyfw promises against peers and against the machine's own floor, judged.

In: results. Out: one line a bar, met, missed or not measured. Each is judged in the network of IPv4 and
MTU 1420, on medians over the rounds of one interleaved run, in one default configuration; what depends on
the cipher is judged with each cipher that was measured, at the cipher's own bound.
"""

import operator
from collections.abc import Iterator
from dataclasses import dataclass

from bench.plan import MAIN
from bench.quantities import QUANTITIES, title
from bench.results import Record, Results, Spread, ratio, spread

MET, MISSED, NOT_MEASURED = "met", "MISSED", "not measured"
_REFERENCE = "tailscale"
# The least rounds that make a median.
ROUNDS = 5
_MEMORY_MIB = 64
_RELATIONS = {"at least": operator.ge, "at most": operator.le}


@dataclass(frozen=True)
class Bar:
    """A promise, and what was found."""

    what: str
    # The cipher with which pyfw keeps it, and over whose it is; empty where all of pyfw is meant, and
    # where it is no ratio.
    cipher: str
    over: str
    # "at least" or "at most".
    relation: str
    bound: float
    found: Spread | None
    unit: str = ""

    @property
    def promise(self) -> str:
        """In one line."""
        over = f", over {self.over}" if self.over else ""
        ours = f"pyfw ({self.cipher}): " if self.cipher else ""
        return f"{ours}{self.what}{over}"

    @property
    def is_count(self) -> bool:
        """Whether it says how many; else it is a ratio, or has a unit."""
        return not self.over and not self.unit

    @property
    def state(self) -> str:
        """MET, MISSED or NOT_MEASURED."""
        if self.found is None:
            return NOT_MEASURED
        return MET if _RELATIONS[self.relation](self.found.value, self.bound) else MISSED


def bars(results: Results) -> list[Bar]:
    """All of them, in the order of the promise."""
    return [*_flows(results), *_floor(results), *_small(results), *_order(results)]


def exit_status(judged: list[Bar], rounds: int) -> int:
    """0: all are met; 1: one is missed; 2: none is missed, but too little was measured to say so."""
    states = {bar.state for bar in judged}
    if MISSED in states:
        return 1
    return 2 if NOT_MEASURED in states or rounds < ROUNDS else 0


def _flows(results: Results) -> Iterator[Bar]:
    for name, bound in _by_cipher(results, 2.0, 1.6):
        for way in ("up", "down"):
            yield _against(results, name, f"tcp-1-{way}", "gbit_s", _REFERENCE, bound)
    for name, bound in _by_cipher(results, 1.8, 1.45):
        for way in ("up", "down"):
            yield _against(results, name, f"tcp-8-{way}", "gbit_s", _REFERENCE, bound)
    for name, bound in _by_cipher(results, 0.45, 0.6):
        for way in ("up", "down"):
            yield _against(results, name, f"tcp-1-{way}", "cpu_s_gb", _REFERENCE, bound)


def _floor(results: Results) -> Iterator[Bar]:
    for name, bound in _by_cipher(results, 1.2, 1.2):
        for way in ("up", "down"):
            measure = f"tcp-1-{way}"
            floor = floor_values(results, MAIN.name, measure, results.entries[name].cipher)
            found = ratio(results.values(MAIN.name, measure, name, "cpu_s_gb"), floor)
            what = f"{title(measure)}, CPU"
            yield Bar(
                what, results.entries[name].cipher, "the machine's floor", "at most", bound, found
            )


def floor_values(results: Results, net: str, measure: str, cipher: str) -> dict[int, float]:
    """CPU-s/GB of the path without its cipher, and twice the cipher, by round."""
    path = results.values(net, measure, "cipher-off", "cpu_s_gb")
    alone = results.values(net, "cipher", cipher, "cpu_s_gb")
    return {number: path[number] + alone[number] for number in path if number in alone}


def _small(results: Results) -> Iterator[Bar]:
    for measure, quantity, bound in (
        ("udp-64-30000", "cpu_us_packet", 0.5),
        ("udp-64-flood", "received_s", 3.0),
        ("rtt-idle", "p50_us", 1.25),
    ):
        best = results.best_peer(MAIN.name, measure, quantity)
        yield _against(results, "pyfw", measure, quantity, best, bound)
    yield _against(results, "pyfw", "tcp-1-up", "p50_us", _REFERENCE, 0.4)
    more = " while that delay was"
    yield _against(results, "pyfw", "tcp-1-up", "gbit_s", _REFERENCE, 1.8, more)


def _order(results: Results) -> Iterator[Bar]:
    ours = [name for name, entry in results.entries.items() if entry.kind == "ours"]
    records = [record for record in results.document.records if record.candidate in ours]
    late = [float(record.values["late"]) for record in records if "late" in record.values]
    yield Bar("late counters, of every round of every test", "", "", "at most", 0, _total(late))
    ordered = [record for record in records if "out_of_order" in record.values]
    unexplained = [_unexplained(record) for record in ordered]
    what = "out-of-order segments, where no drop was counted"
    yield Bar(what, "", "", "at most", 0, _total(unexplained))
    failed = [float(bool(record.failed)) for record in records]
    yield Bar("measures that failed", "", "", "at most", 0, _total(failed))
    for name in ours:
        values = [
            value
            for net in results.nets()
            for value in results.values(net, "memory", name, "peak_rss_mib").values()
        ]
        # A promise about the peak: the highest of all, not the median.
        peak = spread(values) and Spread(max(values), min(values), max(values))
        what = "peak memory of a daemon under load"
        yield Bar(what, results.entries[name].cipher, "", "at most", _MEMORY_MIB, peak, "MiB")


def _unexplained(record: Record) -> float:
    return 0.0 if record.drops else record.values["out_of_order"]


def _total(values: list[float]) -> Spread | None:
    return Spread(sum(values), min(values), max(values)) if values else None


def _against(
    results: Results,
    ours: str,
    measure: str,
    quantity: str,
    theirs: str | None,
    bound: float,
    more: str = "",
) -> Bar:
    relation = "at least" if QUANTITIES[quantity].more_is_better else "at most"
    found = results.ratio(MAIN.name, measure, quantity, ours, theirs) if theirs else None
    peer = results.title(theirs) if theirs else "the best peer"
    what = f"{title(measure)}, {QUANTITIES[quantity].title.partition(',')[0]}{more}"
    return Bar(what, _cipher(results, ours), peer, relation, bound, found)


def _by_cipher(results: Results, ipsec_mb: float, ring: float) -> list[tuple[str, float]]:
    """Each of ours, with the bound that its cipher has."""
    ours = [entry for entry in results.entries.values() if entry.kind == "ours"]
    return [(entry.name, ipsec_mb if entry.cipher == "ipsec-mb" else ring) for entry in ours]


def _cipher(results: Results, name: str) -> str:
    return results.entries[name].cipher if name in results.entries else ""
