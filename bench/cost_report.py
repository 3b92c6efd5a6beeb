"""What `pyfw bench` found, as text for people and as JSON. In: series of samples, one a round."""

from dataclasses import asdict
from statistics import median
from typing import Any

from lab.machine import this_machine
from lab.measure import Sample
from pyfw.demo.terminal import Terminal

_LABEL = 26
_COLUMN = 26


class Series:
    """Values by candidate, measure and quantity, in the order of the rounds."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, dict[str, list[float]]]] = {}
        self.drops: dict[str, int] = {}
        # What pyfw said is in force.
        self.facts: dict[str, Any] = {}
        # What this machine withholds.
        self.limits: list[str] = []

    def add(self, candidate: str, measure: str, sample: Sample) -> None:
        """Adds what one round gave."""
        quantities = self.values.setdefault(candidate, {}).setdefault(measure, {})
        for quantity, value in sample.values.items():
            quantities.setdefault(quantity, []).append(value)
        if candidate == "pyfw":
            for layer, n in sample.drops.items():
                self.drops[layer] = self.drops.get(layer, 0) + n

    def of(self, candidate: str, measure: str, quantity: str) -> list[float]:
        """One series; empty where nothing was measured."""
        return self.values.get(candidate, {}).get(measure, {}).get(quantity, [])

    def median(self, candidate: str, measure: str, quantity: str) -> float:
        """Its median; 0 of nothing."""
        values = self.of(candidate, measure, quantity)
        return float(median(values)) if values else 0.0

    def count(self, quantity: str) -> int:
        """A count of pyfw's, over all measures and rounds."""
        measures = self.values.get("pyfw", {}).values()
        return round(sum(sum(quantities.get(quantity, ())) for quantities in measures))


class Account:
    """All that was found."""

    def __init__(self, version: str, profile: str, series: Series, rounds: int) -> None:
        self.version, self.profile = version, profile
        self.series, self.rounds = series, rounds

    @property
    def good(self) -> bool:
        """Whether nothing was reordered in the tunnel."""
        return self.series.count("late") == 0

    def floor(self, way: str) -> float:
        """CPU-s/GB that this machine cannot go below: the path with its cipher off, and twice the cipher."""
        path = self.series.median("cipher off", f"tcp-1-{way}", "cpu_s_gb")
        return path + self.series.median("cipher", "cipher", "cpu_s_gb")

    def as_json(self) -> dict[str, Any]:
        """One object; `measures` has every round's value."""
        return {
            "version": self.version,
            "build_profile": self.profile,
            "machine": asdict(this_machine()),
            "facts": self.series.facts,
            "rounds": self.rounds,
            "measures": self.series.values,
            "floor_cpu_s_gb": {way: self.floor(way) for way in ("up", "down")},
            "late": self.series.count("late"),
            "drops": self.series.drops,
            "limits": self.series.limits,
        }

    def as_text(self, terminal: Terminal) -> str:
        """A table: medians, and between what they lay."""
        facts, series = self.series.facts, self.series
        cipher = str(facts.get("cipher", "")).split()[0] if facts else ""
        alone = series.median("cipher", "cipher", "cpu_s_gb")
        lines = [
            "",
            terminal.styled(f"pyfw {self.version} ({self.profile}), cipher {cipher}", "bold"),
            str(this_machine()),
            f"medians of {self.rounds}, with the least and the most; both daemons together",
            "",
            _row("", *(terminal.styled(way, "dim") for way in ("up", "down"))),
            _row("one TCP flow", *self._each("pyfw", "tcp-1", "gbit_s", "{:.2f}", "Gbit/s")),
            _row("  processor", *self._each("pyfw", "tcp-1", "cpu_s_gb", "{:.2f}", "s/GB")),
            _row("  over this floor", *(self._over(way) for way in ("up", "down"))),
            _row(
                "    cipher off", *self._each("cipher off", "tcp-1", "cpu_s_gb", "{:.2f}", "s/GB")
            ),
            _row("    cipher alone", f"{alone:.2f} s/GB to seal and open"),
            _row(
                "  TUN to UDP alone",
                *self._each("TUN to UDP", "tcp-1", "cpu_s_gb", "{:.2f}", "s/GB"),
            ),
            _row(
                "    throughput", *self._each("TUN to UDP", "tcp-1", "gbit_s", "{:.2f}", "Gbit/s")
            ),
            _row("8 TCP flows", *self._each("pyfw", "tcp-8", "gbit_s", "{:.2f}", "Gbit/s")),
            _row("  processor", *self._each("pyfw", "tcp-8", "cpu_s_gb", "{:.2f}", "s/GB")),
            "",
            _row("64 B at 30,000 a second", self._one("udp-64-30000", "cpu_us_packet", "µs each")),
            _row("64 B, flood", self._one("udp-64-flood", "received_s", "a second received")),
            _row("ping, idle", self._one("rtt-idle", "p50_us", "µs")),
            _row(
                "ping under one flow",
                self._one("tcp-1-up", "p50_us", "µs, p50"),
                self._one("tcp-1-up", "p99_us", "µs, p99"),
            ),
            _row("memory of a daemon", self._one("memory", "peak_rss_mib", "MiB at its peak")),
            "",
            _row("late counters", _zero(terminal, series.count("late"))),
            _row("out of order, sent again", self._tcp_counts()),
            _row("dropped", self._drops()),
            *(_row("limited", limit) for limit in series.limits),
        ]
        return "\n".join(line.rstrip() for line in lines)

    def _each(self, candidate: str, flows: str, quantity: str, style: str, unit: str) -> list[str]:
        return [
            _spread(self.series.of(candidate, f"{flows}-{way}", quantity), style, unit)
            for way in ("up", "down")
        ]

    def _one(self, measure: str, quantity: str, unit: str) -> str:
        style = "{:.2f}" if quantity == "cpu_us_packet" else "{:,.0f}"
        return _spread(self.series.of("pyfw", measure, quantity), style, unit)

    def _over(self, way: str) -> str:
        floor = self.floor(way)
        cost = self.series.median("pyfw", f"tcp-1-{way}", "cpu_s_gb")
        return f"{cost / floor:.2f} times {floor:.2f} s/GB" if floor else "–"

    def _tcp_counts(self) -> str:
        counts = [self.series.count(name) for name in ("out_of_order", "retransmitted")]
        return "{:,}, {:,}".format(*counts)

    def _drops(self) -> str:
        drops = self.series.drops
        return ", ".join(f"{layer} {n:,}" for layer, n in drops.items()) if drops else "nothing"


def _spread(values: list[float], style: str, unit: str) -> str:
    if not values:
        return "–"
    middle, least, most = (style.format(n) for n in (median(values), min(values), max(values)))
    return f"{middle} ({least}–{most}) {unit}"


def _row(label: str, *cells: str) -> str:
    return f"  {label:<{_LABEL}}" + "  ".join(f"{cell:<{_COLUMN}}" for cell in cells)


def _zero(terminal: Terminal, n: int) -> str:
    return terminal.styled(f"{n:,}", "bad" if n else "good")
