"""`pyfw bench`: what a tunnel costs on this machine, and the machine's own floor beside it."""

import json
import sys
from collections.abc import Iterator

import click

from bench.cost_report import Account, Series
from lab import Implementation, Network, Pair, bare, pyfw_run, without_cipher
from lab.measure import Cipher, Datagrams, Flows, Measure, Pings, Sample, Subject
from pyfw.demo.in_namespace import in_lab
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


@click.command(name="bench", short_help="Measure pyfw on this machine, beside its floor.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1))
@click.option(
    "--seconds",
    default=0.8,
    show_default=True,
    type=click.FloatRange(0.1, 60),
    help="Of each measure.",
)
def bench(as_json: bool, rounds: int, seconds: float) -> None:
    """Measure pyfw on this machine, in a minute: three namespaces, client, gateway and a server behind it.

    Throughput, processor time, delay, small packets and memory, and beside them what the machine allows:
    the same path with the cipher off, the cipher alone, and TUN to UDP with nothing between. Measure
    where nothing else runs. Root is not needed where user namespaces are allowed. Ends with 0 if nothing
    was reordered in the tunnel.
    """
    from pyfw import _native

    if _native.build_profile == "debug":
        raise click.ClickException("this extension is a debug build, whose figures mean nothing")
    terminal = Terminal(sys.stderr if as_json else sys.stdout, quiet=as_json)
    series = Series()
    with in_lab("the benchmark", terminal):
        for number in range(1, rounds + 1):
            _round(series, terminal, number, rounds, seconds)
        terminal.clear()
    account = Account(_native.__version__, _native.build_profile, series, rounds)
    click.echo(json.dumps(account.as_json()) if as_json else account.as_text(terminal))
    sys.exit(0 if account.good else 1)


def _round(series: Series, terminal: Terminal, number: int, rounds: int, seconds: float) -> None:
    """The tunnel and its floors in turn, so that the machine's moods hit all alike."""
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
        for measure, sample in _measured(series, name, implementation, measures, seconds):
            series.add(name, measure, sample)
            done += 1
            terminal.progress(text, done / (rounds * each))
    cipher = str(series.facts["cipher"]).split()[0]
    series.add("cipher", "cipher", Cipher(cipher).run())


def _measured(
    series: Series,
    name: str,
    implementation: Implementation,
    measures: tuple[Measure, ...],
    seconds: float,
) -> Iterator[tuple[str, Sample]]:
    with Network(napi=True) as network:
        pair = Pair(network, implementation, implementation)
        subject = Subject(pair)
        ping_ms(network.client, subject.server_address)
        if name == "pyfw":
            series.facts, series.limits = pair.client.facts(), limits(network.user.is_root)
        for measure in measures:
            yield measure.name, measure.run(subject, seconds)
        series.add(name, "memory", Sample({"peak_rss_mib": subject.peak_rss_mib()}))
