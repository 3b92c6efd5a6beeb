"""`python -m bench.tunnel`: pyfw and wireguard-go in turn, one TCP flow up and down.

The same namespaces for both, cubic, iperf3, rounds interleaved: pyfw, wireguard-go, pyfw, … What is
compared are ratios of medians: absolute figures hold for one machine on one day.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from bench import peers
from pyfw.lab import BEHIND, Implementation, Network, Pair, Unavailable, pyfw_run, wireguard_go
from pyfw.lab.account import late

_DIRECTIONS = ("up", "down")


@dataclass(frozen=True)
class Sample:
    """One flow of one daemon in one round."""

    gbit_s: float
    # User and system time of both daemons, for each gigabyte that the receiver got.
    cpu_s_gb: float
    # The larger one of the two daemons, at its peak since it started.
    peak_rss_mib: float
    # TCPOFOQueue of the receiving kernel.
    out_of_order: int
    retransmitted: int
    # Counters below the highest seen; only pyfw counts them.
    late: int | None


# Each measure, how it is shown, and whether more of it is better.
_MEASURES = (
    ("gbit_s", "throughput, Gbit/s", ".2f"),
    ("cpu_s_gb", "CPU-s/GB, both daemons", ".2f"),
    ("peak_rss_mib", "peak RSS, MiB", ".0f"),
)
_COUNTS = (
    ("late", "late counters"),
    ("out_of_order", "out of order"),
    ("retransmitted", "sent again"),
)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m bench.tunnel", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--settings", default="", help="lines for pyfw's NAME.pyfw.toml")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    try:
        ours = pyfw_run(arguments.settings)
        ours_version = _measurable_version(ours)
        peer = peers.wireguard_go()
        candidates = [ours, wireguard_go(peer.path)]
        samples = measure(candidates, arguments.rounds, arguments.seconds)
    except Unavailable as reason:
        sys.exit(f"bench: {reason}")
    versions = {"pyfw": ours_version, "wireguard-go": peer.version}
    print(report(samples, versions))
    if arguments.json:
        document = {
            "versions": versions,
            "kernel": platform.release(),
            "cpus": os.cpu_count(),
            "rounds": arguments.rounds,
            "seconds": arguments.seconds,
            "samples": {
                name: {way: [asdict(one) for one in ones] for way, ones in ways.items()}
                for name, ways in samples.items()
            },
            "ratios": {way: ratios(samples, way) for way in _DIRECTIONS},
        }
        arguments.json.write_text(json.dumps(document, indent=2) + "\n")


Samples = dict[str, dict[str, list[Sample]]]


def measure(candidates: list[Implementation], rounds: int, seconds: int) -> Samples:
    """All rounds of all candidates, interleaved, so that the machine's moods hit all alike."""
    names = [_name(candidate) for candidate in candidates]
    samples: Samples = {name: {way: [] for way in _DIRECTIONS} for name in names}
    for number in range(1, rounds + 1):
        for name, candidate in zip(names, candidates, strict=True):
            with Network() as network:
                pair = Pair(network, candidate, candidate)
                pair.first_ping_ms()
                for way in _DIRECTIONS:
                    sample = _flow(network, pair, way, seconds)
                    samples[name][way].append(sample)
                    print(
                        f"round {number}/{rounds} {name:<13} {way:<4} {sample.gbit_s:6.2f} Gbit/s "
                        f"{sample.cpu_s_gb:6.2f} CPU-s/GB",
                        file=sys.stderr,
                    )
    return samples


def ratios(samples: Samples, way: str) -> dict[str, float]:
    """The first candidate's medians over the second's."""
    ours, theirs = (ways[way] for ways in samples.values())
    return {
        measure: _median(ours, measure) / _median(theirs, measure) for measure, _, _ in _MEASURES
    }


def report(samples: Samples, versions: dict[str, str]) -> str:
    """A table: medians with their spread (least to most), and the ratio of the medians."""
    lines = [
        "",
        *(f"{name} {version}" for name, version in versions.items()),
        f"one TCP flow, cubic, kernel {platform.release()}, {os.cpu_count()} CPUs",
    ]
    for way in _DIRECTIONS:
        lines += ["", f"{way:<24}" + "".join(f"{name:>24}" for name in samples) + f"{'ratio':>8}"]
        found = ratios(samples, way)
        for measure, label, style in _MEASURES:
            cells = [_spread(ways[way], measure, style) for ways in samples.values()]
            lines.append(f"  {label:<22}" + "".join(cells) + f"{found[measure]:>8.2f}")
        for count, label in _COUNTS:
            cells = [f"{_total(ways[way], count):>24}" for ways in samples.values()]
            lines.append(f"  {label:<22}" + "".join(cells))
    return "\n".join(lines)


def _flow(network: Network, pair: Pair, way: str, seconds: int) -> Sample:
    address = BEHIND["server"].v4
    up = way == "up"
    sender, receiver = (network.client, network.server) if up else (network.server, network.client)
    leaving = pair.gateway if up else pair.client
    server = network.server.start(
        "iperf3", "--server", "--one-off", "--forceflush", "--bind", address
    )
    server.wait_for("listening")
    processes = [daemon.process for daemon in pair.daemons]
    cpu = -sum(process.cpu_s() for process in processes)
    sent, received = sender.counters(), receiver.counters()
    flow = ["iperf3", "--client", address, "--time", str(seconds), "--json"]
    told = network.client.start(*flow, *([] if up else ["--reverse"])).wait(seconds + 30)
    cpu += sum(process.cpu_s() for process in processes)
    got = json.loads(told)["end"]["sum_received"]
    return Sample(
        gbit_s=got["bits_per_second"] / 1e9,
        cpu_s_gb=cpu / (got["bytes"] / 1e9),
        peak_rss_mib=max(process.peak_rss_mib() for process in processes),
        out_of_order=(receiver.counters() - received).out_of_order,
        retransmitted=(sender.counters() - sent).retransmitted,
        late=late(leaving.counters()) if leaving.implementation.is_pyfw else None,
    )


def _measurable_version(ours: Implementation) -> str:
    """Version and build profile of the pyfw that is started; not of the one that this runs in."""
    told = subprocess.run(
        [ours.command[0], "--version"], capture_output=True, text=True, check=True
    ).stdout
    shown = told.strip().removeprefix("pyfw ")
    if shown.endswith("(debug)"):
        sys.exit("bench: the extension is a debug build; make bench measures a release build")
    print(f"pyfw {shown}", file=sys.stderr)
    return shown


def _name(candidate: Implementation) -> str:
    return "pyfw" if candidate.is_pyfw else candidate.name


def _median(samples: list[Sample], measure: str) -> float:
    return float(median(getattr(sample, measure) for sample in samples))


def _spread(samples: list[Sample], measure: str, style: str) -> str:
    values = [getattr(sample, measure) for sample in samples]
    middle, least, most = (format(n, style) for n in (median(values), min(values), max(values)))
    return f"{f'{middle} ({least}–{most})':>24}"


def _total(samples: list[Sample], count: str) -> str:
    values = [getattr(sample, count) for sample in samples]
    return "–" if None in values else f"{sum(values):,}"


if __name__ == "__main__":
    main()
