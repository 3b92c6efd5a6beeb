"""The results of `python -m bench`, as text for people and as JSON."""

from dataclasses import asdict
from statistics import median
from typing import Any

from lab.machine import this_machine
from lab.measure import Sample
from pyfw.demo.terminal import Terminal
from pyfw.replay.report.number_format import plural

_LABEL = 29
_COLUMN = 26
_DIRECTIONS = ("up", "down")


class Series:
    """Values by candidate, measure and quantity, in the order of the rounds."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, dict[str, list[float]]]] = {}
        self.drops: dict[str, int] = {}
        # What pyfw reports of its tunnel: cipher, threads, offloads.
        self.facts: dict[str, Any] = {}
        # The kernel limits that slow it down.
        self.limits: list[str] = []

    def add(self, candidate: str, measure: str, sample: Sample) -> None:
        """Adds the sample of one round."""
        quantities = self.values.setdefault(candidate, {}).setdefault(measure, {})
        for quantity, value in sample.values.items():
            quantities.setdefault(quantity, []).append(value)
        if candidate == "pyfw":
            for layer, n in sample.drops.items():
                self.drops[layer] = self.drops.get(layer, 0) + n

    def of(self, candidate: str, measure: str, quantity: str) -> list[float]:
        """Returns one series; empty if nothing was measured."""
        return self.values.get(candidate, {}).get(measure, {}).get(quantity, [])

    def median(self, candidate: str, measure: str, quantity: str) -> float:
        """Returns its median; 0 if nothing was measured."""
        values = self.of(candidate, measure, quantity)
        return float(median(values)) if values else 0.0

    def count(self, quantity: str) -> int:
        """Returns one of pyfw's counts, summed over all measures and rounds."""
        measures = self.values.get("pyfw", {}).values()
        return round(sum(sum(quantities.get(quantity, ())) for quantities in measures))


class CostReport:
    """All results."""

    def __init__(self, version: str, profile: str, series: Series, rounds: int) -> None:
        self.version, self.profile = version, profile
        self.series, self.rounds = series, rounds

    @property
    def passed(self) -> bool:
        """Whether the tunnel reordered nothing."""
        return self.series.count("late") == 0

    def baseline(self, direction: str) -> float:
        """Returns the CPU-s/GB of the path with its cipher off, plus sealing and opening."""
        path = self.series.median("cipher off", f"tcp-1-{direction}", "cpu_s_gb")
        return path + self.series.median("cipher", "cipher", "cpu_s_gb")

    def as_json(self) -> dict[str, Any]:
        """Returns one object; `measures` has every round's value."""
        return {
            "version": self.version,
            "build_profile": self.profile,
            "machine": asdict(this_machine()),
            "facts": self.series.facts,
            "rounds": self.rounds,
            "measures": self.series.values,
            "floor_cpu_s_gb": {direction: self.baseline(direction) for direction in _DIRECTIONS},
            "late": self.series.count("late"),
            "drops": self.series.drops,
            "limits": self.series.limits,
        }

    def as_text(self, terminal: Terminal) -> str:
        """Returns a table of medians, each with the lowest and the highest round."""
        facts, series = self.series.facts, self.series
        cipher = str(facts.get("cipher", "")).split()[0] if facts else ""
        alone = series.median("cipher", "cipher", "cpu_s_gb")
        lines = [
            "",
            terminal.styled(f"pyfw {self.version} ({self.profile}), cipher {cipher}", "bold"),
            str(this_machine()),
            f"medians of {plural(self.rounds, 'round')} (lowest–highest), both daemons together",
            "",
            _row("", *(terminal.styled(direction, "dim") for direction in _DIRECTIONS)),
            _row("one TCP flow", *self._each("pyfw", "tcp-1", "gbit_s", "{:.2f}", "Gbit/s")),
            _row("  CPU time", *self._each("pyfw", "tcp-1", "cpu_s_gb", "{:.2f}", "s/GB")),
            _row("  over the baseline", *map(self._over_baseline, _DIRECTIONS)),
            _row(
                "    cipher off", *self._each("cipher off", "tcp-1", "cpu_s_gb", "{:.2f}", "s/GB")
            ),
            _row("    cipher alone", f"{alone:.2f} s/GB, seal and open"),
            _row(
                "  TUN to UDP alone",
                *self._each("TUN to UDP", "tcp-1", "cpu_s_gb", "{:.2f}", "s/GB"),
            ),
            _row(
                "    throughput", *self._each("TUN to UDP", "tcp-1", "gbit_s", "{:.2f}", "Gbit/s")
            ),
            _row("8 TCP flows", *self._each("pyfw", "tcp-8", "gbit_s", "{:.2f}", "Gbit/s")),
            _row("  CPU time", *self._each("pyfw", "tcp-8", "cpu_s_gb", "{:.2f}", "s/GB")),
            "",
            _row(
                "64 B at 30,000 per second", self._one("udp-64-30000", "cpu_us_packet", "µs each")
            ),
            _row("64 B, flood", self._one("udp-64-flood", "received_s", "per second received")),
            _row("ping, idle", self._one("rtt-idle", "p50_us", "µs")),
            _row(
                "ping under one flow",
                self._one("tcp-1-up", "p50_us", "µs, p50"),
                self._one("tcp-1-up", "p99_us", "µs, p99"),
            ),
            _row("peak memory of a daemon", self._one("memory", "peak_rss_mib", "MiB")),
            "",
            _row("late counters", _zero(terminal, series.count("late"))),
            _row("out of order, retransmitted", self._tcp_counts()),
            _row("dropped", self._drops()),
            *(_row("limited", limit) for limit in series.limits),
        ]
        return "\n".join(line.rstrip() for line in lines)

    def _each(self, candidate: str, flows: str, quantity: str, style: str, unit: str) -> list[str]:
        return [
            _spread(self.series.of(candidate, f"{flows}-{direction}", quantity), style, unit)
            for direction in _DIRECTIONS
        ]

    def _one(self, measure: str, quantity: str, unit: str) -> str:
        style = "{:.2f}" if quantity == "cpu_us_packet" else "{:,.0f}"
        return _spread(self.series.of("pyfw", measure, quantity), style, unit)

    def _over_baseline(self, direction: str) -> str:
        baseline = self.baseline(direction)
        cost = self.series.median("pyfw", f"tcp-1-{direction}", "cpu_s_gb")
        return f"{cost / baseline:.2f} times {baseline:.2f} s/GB" if baseline else "–"

    def _tcp_counts(self) -> str:
        counts = [self.series.count(name) for name in ("out_of_order", "retransmitted")]
        return "{:,}, {:,}".format(*counts)

    def _drops(self) -> str:
        drops = self.series.drops
        return ", ".join(f"{layer} {n:,}" for layer, n in drops.items()) if drops else "none"


def _spread(values: list[float], style: str, unit: str) -> str:
    if not values:
        return "–"
    middle, low, high = (style.format(n) for n in (median(values), min(values), max(values)))
    return f"{middle} ({low}–{high}) {unit}"


def _row(label: str, *cells: str) -> str:
    return f"  {label:<{_LABEL}}" + "  ".join(f"{cell:<{_COLUMN}}" for cell in cells)


def _zero(terminal: Terminal, n: int) -> str:
    return terminal.styled(f"{n:,}", "bad" if n else "good")
