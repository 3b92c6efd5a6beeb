"""`python -m bench`: what a tunnel costs on this machine, beside the machine's baseline."""

import json
import sys
from collections.abc import Iterator

import click

from bench.cost_report import CostReport, Series
from lab import Implementation, Network, Pair, pyfw_run
from lab.baseline import bare, without_cipher
from lab.measure import Cipher, Datagrams, Flows, Measure, MeasuredTunnel, Pings, Sample
from pyfw.demo.command import errors_reported
from pyfw.demo.limits import limits
from pyfw.demo.pair import ping_ms
from pyfw.demo.terminal import Terminal

_FLOWS: tuple[Measure, ...] = (Flows(1, 0, pinged=True), Flows(0, 1))
_TUNNEL: tuple[Measure, ...] = (
    Pings(),
    *_FLOWS,
    Flows(8, 0),
    Flows(0, 8),
    Datagrams(64, 30_000),
    Datagrams(64),
)


@click.command(name="python -m bench")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
@click.option(
    "--rounds",
    default=3,
    show_default=True,
    type=click.IntRange(1),
    help="How often to repeat all measures.",
)
@click.option(
    "--seconds",
    default=0.8,
    show_default=True,
    type=click.FloatRange(0.1, 60),
    help="Duration of each measure.",
)
def bench(as_json: bool, rounds: int, seconds: float) -> None:
    """Measure the installed pyfw on this machine, in a minute.

    Runs a client, a gateway and a server behind it in three namespaces, and measures throughput, processor
    time, delay, small packets and memory. Compares them with the machine's baseline: the same path with the
    cipher off, the cipher alone, and TUN to UDP with nothing in between. Run it on an otherwise idle machine.
    Needs root or unprivileged user namespaces, and a pyfw that `make bench` has built.

    Exits with 0 if the tunnel reordered nothing.
    """
    from pyfw import _native

    if _native.build_profile == "debug":
        raise click.ClickException("pyfw is a debug build, whose figures mean nothing: make setup")
    terminal = Terminal(sys.stderr if as_json else sys.stdout, quiet=as_json)
    series = Series()
    with errors_reported("the benchmark", terminal):
        for number in range(1, rounds + 1):
            _round(series, terminal, number, rounds, seconds)
        terminal.clear()
    report = CostReport(_native.__version__, _native.build_profile, series, rounds)
    click.echo(json.dumps(report.as_json()) if as_json else report.as_text(terminal))
    sys.exit(0 if report.passed else 1)


def _round(series: Series, terminal: Terminal, number: int, rounds: int, seconds: float) -> None:
    """Measures the tunnel and its baselines in turn, so that a change of the machine's load affects all."""
    candidates: tuple[tuple[str, Implementation, tuple[Measure, ...]], ...] = (
        ("pyfw", pyfw_run(), _TUNNEL),
        ("cipher off", without_cipher(), _FLOWS),
        ("TUN to UDP", bare(), _FLOWS),
    )
    text = f"round {number} of {rounds}"
    terminal.step(text)
    each = sum(len(measures) for _, _, measures in candidates)
    done = (number - 1) * each
    for name, implementation, measures in candidates:
        for measure, sample in _samples(series, name, implementation, measures, seconds):
            series.add(name, measure, sample)
            done += 1
            terminal.progress(text, done / (rounds * each))
    cipher = str(series.facts["cipher"]).split()[0]
    series.add("cipher", "cipher", Cipher(cipher).run())


def _samples(
    series: Series,
    name: str,
    implementation: Implementation,
    measures: tuple[Measure, ...],
    seconds: float,
) -> Iterator[tuple[str, Sample]]:
    with Network(napi=True) as network:
        pair = Pair(network, implementation, implementation)
        tunnel = MeasuredTunnel(pair)
        ping_ms(network.client, tunnel.server_address)
        if name == "pyfw":
            series.facts = pair.client.details()["facts"]
            series.limits = limits(network.user.is_root)
        for measure in measures:
            yield measure.name, measure.run(tunnel, seconds)
        series.add(name, "memory", Sample({"peak_rss_mib": tunnel.peak_rss_mib()}))


if __name__ == "__main__":
    bench()
