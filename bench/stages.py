"""`python -m bench.stages`: what a Python stage costs a tunnel, and what its operations cost.

Two pyfw daemons, the stage in the one that receives, against the same without a stage; for scale
mitmproxy's WireGuard mode. All tunnels stand side by side for the whole run and are measured in turn, in
rounds. What is judged are medians over the rounds of the ratio to the tunnel without a stage.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from bench.mitmproxy import Mitmproxy, install
from bench.operations import Cost, costs, markdown
from bench.peers import LeftOut
from lab import Implementation, Network, Pair, Unavailable, pyfw_run
from lab.measure import Datagrams, Flows, Subject
from pyfw.demo.pair import ping_ms

NONE, COLUMNS, LOOP, MITMPROXY = "no stage", "columns", "loop", "mitmproxy"
_FLOW, _FLOOD = Flows(1, 0), Datagrams(64)
_INSPECTORS = Path(__file__).with_name("inspectors.py")


@dataclass(frozen=True)
class Bar:
    """A promise: so much of what goes without a stage goes with it."""

    what: str
    stage: str
    measure: str
    at_least: float


BARS = (
    Bar("one TCP flow, numpy over every batch", COLUMNS, _FLOW.name, 0.85),
    Bar("one TCP flow, a loop over every frame", LOOP, _FLOW.name, 0.70),
    Bar("64 B UDP flood, a loop over every frame", LOOP, _FLOOD.name, 0.40),
)


@dataclass(frozen=True)
class Record:
    """One window."""

    round: int
    tunnel: str
    measure: str
    # Gbit/s of a flow, datagrams a second of a flood.
    value: float
    late: int
    frames_a_batch: float


def main() -> None:
    """Measures, prints, judges."""
    arguments = _arguments()
    rounds, seconds = (3, 1.0) if arguments.quick else (7, 3.0)
    try:
        records = list(measure(arguments.rounds or rounds, arguments.seconds or seconds))
    except Unavailable as reason:
        sys.exit(f"bench: {reason}")
    operations = costs(quick=arguments.quick)
    print(report(records, operations))
    if arguments.json:
        document = {
            "kernel": platform.release(),
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
            "records": [asdict(record) for record in records],
            "bars": [{**asdict(bar), "found": found(records, bar)} for bar in BARS],
            "operations": [asdict(cost) for cost in operations],
        }
        arguments.json.write_text(json.dumps(document, indent=2) + "\n")
    if arguments.markdown:
        markdown(arguments.markdown, operations)
    sys.exit(exit_status(records))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.stages", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of each window")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="where costs are documented")
    return parser.parse_args()


def measure(rounds: int, seconds: float) -> Iterator[Record]:
    """All windows of all tunnels; each round begins with another tunnel."""
    with ExitStack() as stack:
        tunnels = {
            name: _tunnel(stack.enter_context(Network(napi=True)), pyfw_run(settings))
            for name, settings in ((NONE, ""), (COLUMNS, _with("Columns")), (LOOP, _with("Loop")))
        }
        proxy = _proxy(stack)
        names = list(tunnels)
        for number in range(1, rounds + 1):
            for load in (_FLOW, _FLOOD):
                first = number % len(names)
                for name in [*names[first:], *names[:first]]:
                    if load is _FLOOD and name == COLUMNS:
                        continue
                    yield _show(_window(number, name, tunnels[name], load, seconds), rounds)
            if proxy is not None:
                value = proxy.gbit_s(seconds)
                yield _show(Record(number, MITMPROXY, _FLOW.name, value, 0, 0.0), rounds)


def _with(stage: str) -> str:
    return f'[[stages]]\nuse = "{_INSPECTORS}:{stage}"\n'


def _tunnel(network: Network, gateway: Implementation) -> Subject:
    subject = Subject(Pair(network, pyfw_run(), gateway))
    ping_ms(network.client, subject.server_address)
    return subject


def _proxy(stack: ExitStack) -> Mitmproxy | None:
    try:
        command = install()
        return Mitmproxy(stack.enter_context(Network(napi=True)), command)
    except (LeftOut, RuntimeError, TimeoutError) as reason:
        print(f"bench: without mitmproxy: {reason}", file=sys.stderr)
        return None


def _window(
    number: int, name: str, subject: Subject, load: Flows | Datagrams, seconds: float
) -> Record:
    before = _inspected(subject)
    values = load.run(subject, seconds).values
    calls, frames = (b - a for a, b in zip(before, _inspected(subject), strict=True))
    value = values["gbit_s" if isinstance(load, Flows) else "received_s"]
    return Record(
        number, name, load.name, value, int(values["late"]), frames / calls if calls else 0
    )


def _inspected(subject: Subject) -> tuple[int, int]:
    stages = subject.pair.gateway.counters().get("stages", {"stages": {}})["stages"].values()
    return sum(one["calls"] for one in stages), sum(one["frames"] for one in stages)


def _show(record: Record, rounds: int) -> Record:
    unit = "datagrams/s" if record.measure == _FLOOD.name else "Gbit/s"
    value = f"{record.value:,.0f}" if record.measure == _FLOOD.name else f"{record.value:.2f}"
    where = f"{record.round}/{rounds} {record.tunnel:<10} {record.measure:<14}"
    print(f"{where} {value:>10} {unit}", file=sys.stderr, flush=True)
    return record


def ratios(records: Sequence[Record], tunnel: str, measure: str) -> list[float]:
    """To the tunnel without a stage, round by round."""
    of = {
        name: {r.round: r.value for r in records if (r.tunnel, r.measure) == (name, measure)}
        for name in (tunnel, NONE)
    }
    return [of[tunnel][n] / of[NONE][n] for n in of[tunnel] if of[NONE].get(n)]


def found(records: Sequence[Record], bar: Bar) -> float | None:
    """The median of its ratios."""
    values = ratios(records, bar.stage, bar.measure)
    return median(values) if values else None


def exit_status(records: Sequence[Record]) -> int:
    """0: all bars hold and nothing was late; 1: one does not."""
    held = all((value := found(records, bar)) is not None and value >= bar.at_least for bar in BARS)
    return 0 if held and not any(record.late for record in records) else 1


def report(records: Sequence[Record], operations: Sequence[Cost]) -> str:
    """Tables: throughput, bars, operations."""
    lines = ["", f"{'':<24}{'median':>12}{'least':>12}{'most':>12}{'of no stage':>14}"]
    seen = dict.fromkeys((record.measure, record.tunnel) for record in records)
    for measure, tunnel in seen:
        rows = [r for r in records if (r.tunnel, r.measure) == (tunnel, measure)]
        values = [row.value for row in rows]
        style = ",.0f" if measure == _FLOOD.name else ".2f"
        shares = ratios(records, tunnel, measure)
        share = f"{median(shares):>14.2f}" if tunnel != NONE and shares else f"{'':>14}"
        shown = "".join(f"{format(f(values), style):>12}" for f in (median, min, max))
        batch = median(row.frames_a_batch for row in rows)
        note = f"   {batch:.1f} frames a call" if batch else ""
        lines.append(f"{measure + ', ' + tunnel:<24}{shown}{share}{note}")
    lines += ["", f"{'bar':<44}{'at least':>10}{'found':>8}"]
    for bar in BARS:
        value = found(records, bar)
        state = "met" if value is not None and value >= bar.at_least else "MISSED"
        lines.append(f"{bar.what:<44}{bar.at_least:>10.2f}{value or 0:>8.2f}  {state}")
    late = sum(record.late for record in records)
    lines.append(f"{'late counters':<44}{0:>10}{late:>8}  {'MISSED' if late else 'met'}")
    lines += ["", f"{'operation':<44}{'a batch':>12}{'a frame more':>14}"]
    lines += [f"{c.what:<44}{c.batch_ns:>9.0f} ns{c.frame_ns:>11.0f} ns" for c in operations]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
