"""`python -m bench.stages`: measures what a Python stage costs a tunnel, and what its operations cost.

Compares two pyfw daemons that have a stage in the receiving one with two that have none, and with mitmproxy's
WireGuard mode. All tunnels are up for the whole run and are measured in turn, in rounds. Targets apply to the
median over the rounds of the ratio to the tunnel without a stage.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

from bench.mitmproxy import Mitmproxy, install
from bench.operations import Cost, costs, markdown
from bench.peers import PeerUnavailable
from lab import Implementation, Network, Pair, Unavailable, pyfw_run
from lab.measure import Datagrams, Flows, MeasuredTunnel
from pyfw.demo.pair import ping_ms

NONE, COLUMNS, LOOP, MITMPROXY = "no stage", "columns", "loop", "mitmproxy"
_FLOW, _FLOOD = Flows(1, 0), Datagrams(64)
_STAGES = Path(__file__).with_name("inspection_stages.py")


@dataclass(frozen=True)
class Target:
    """The share of the throughput without a stage that a stage must leave."""

    what: str
    stage: str
    measure: str
    at_least: float


TARGETS = (
    Target("one TCP flow, numpy over every batch", COLUMNS, _FLOW.name, 0.85),
    Target("one TCP flow, a loop over every frame", LOOP, _FLOW.name, 0.70),
    Target("64 B UDP flood, a loop over every frame", LOOP, _FLOOD.name, 0.40),
)


@dataclass(frozen=True)
class Record:
    """One measure of one tunnel in one round."""

    round: int
    tunnel: str
    measure: str
    # Gbit/s of a flow, datagrams per second of a flood.
    value: float
    late: int
    frames_per_batch: float


def main() -> None:
    """Measures, prints and writes the results; exits with the targets' status."""
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
            "targets": [{**asdict(target), "found": found(records, target)} for target in TARGETS],
            "operations": [asdict(cost) for cost in operations],
        }
        arguments.json.write_text(json.dumps(document, indent=2) + "\n")
    if arguments.markdown:
        markdown(arguments.markdown, operations)
    sys.exit(exit_status(records))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.stages", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="measure for under a minute")
    parser.add_argument("--rounds", type=int, help="rounds (default: 7, with --quick 3)")
    parser.add_argument(
        "--seconds", type=float, help="duration of each measure (default: 3, with --quick 1)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="update the table of operations in a file"
    )
    return parser.parse_args()


def measure(rounds: int, seconds: float) -> Iterator[Record]:
    """Yields all records; each round starts with another tunnel."""
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
                    yield _show(_record(number, name, tunnels[name], load, seconds), rounds)
            if proxy is not None:
                value = proxy.gbit_s(seconds)
                yield _show(Record(number, MITMPROXY, _FLOW.name, value, 0, 0.0), rounds)


def _with(stage: str) -> str:
    return f'[[stages]]\nuse = "{_STAGES}:{stage}"\n'


def _tunnel(network: Network, gateway: Implementation) -> MeasuredTunnel:
    tunnel = MeasuredTunnel(Pair(network, pyfw_run(), gateway))
    ping_ms(network.client, tunnel.server_address)
    return tunnel


def _proxy(stack: ExitStack) -> Mitmproxy | None:
    try:
        command = install()
        return Mitmproxy(stack.enter_context(Network(napi=True)), command)
    except (PeerUnavailable, RuntimeError, TimeoutError) as reason:
        print(f"bench: without mitmproxy: {reason}", file=sys.stderr)
        return None


def _record(
    number: int, name: str, tunnel: MeasuredTunnel, load: Flows | Datagrams, seconds: float
) -> Record:
    before = _stage_calls(tunnel)
    values = load.run(tunnel, seconds).values
    calls, frames = (b - a for a, b in zip(before, _stage_calls(tunnel), strict=True))
    value = values["gbit_s" if isinstance(load, Flows) else "received_s"]
    return Record(
        number, name, load.name, value, int(values["late"]), frames / calls if calls else 0
    )


def _stage_calls(tunnel: MeasuredTunnel) -> tuple[int, int]:
    """Returns the calls of the gateway's stages, and the frames they got."""
    _, gateway = tunnel.pair.daemons
    stages = gateway.counters().get("stages", {"stages": {}})["stages"].values()
    return sum(one["calls"] for one in stages), sum(one["frames"] for one in stages)


def _show(record: Record, rounds: int) -> Record:
    unit = "datagrams/s" if record.measure == _FLOOD.name else "Gbit/s"
    value = f"{record.value:,.0f}" if record.measure == _FLOOD.name else f"{record.value:.2f}"
    where = f"{record.round}/{rounds} {record.tunnel:<10} {record.measure:<14}"
    print(f"{where} {value:>10} {unit}", file=sys.stderr, flush=True)
    return record


def ratios(records: Sequence[Record], tunnel: str, measure: str) -> list[float]:
    """Returns the ratio to the tunnel without a stage, of each round."""
    of = {
        name: {r.round: r.value for r in records if (r.tunnel, r.measure) == (name, measure)}
        for name in (tunnel, NONE)
    }
    return [of[tunnel][n] / of[NONE][n] for n in of[tunnel] if of[NONE].get(n)]


def found(records: Sequence[Record], target: Target) -> float | None:
    """Returns the median ratio for a target; None if nothing was measured."""
    values = ratios(records, target.stage, target.measure)
    return median(values) if values else None


def exit_status(records: Sequence[Record]) -> int:
    """Returns 0 if all targets are met and nothing was late, else 1."""
    met = all(map(partial(_is_met, records), TARGETS))
    return 0 if met and not any(record.late for record in records) else 1


def _is_met(records: Sequence[Record], target: Target) -> bool:
    value = found(records, target)
    return value is not None and value >= target.at_least


def report(records: Sequence[Record], operations: Sequence[Cost]) -> str:
    """Returns the tables: throughput, targets, operations."""
    lines = ["", f"{'':<24}{'median':>12}{'lowest':>12}{'highest':>12}{'of no stage':>14}"]
    seen = dict.fromkeys((record.measure, record.tunnel) for record in records)
    for measure, tunnel in seen:
        rows = [r for r in records if (r.tunnel, r.measure) == (tunnel, measure)]
        values = [row.value for row in rows]
        style = ",.0f" if measure == _FLOOD.name else ".2f"
        shares = ratios(records, tunnel, measure)
        share = f"{median(shares):>14.2f}" if tunnel != NONE and shares else f"{'':>14}"
        shown = "".join(f"{format(f(values), style):>12}" for f in (median, min, max))
        frames = median(row.frames_per_batch for row in rows)
        note = f"   {frames:.1f} frames per call" if frames else ""
        lines.append(f"{measure + ', ' + tunnel:<24}{shown}{share}{note}")
    lines += ["", f"{'target':<44}{'at least':>10}{'found':>8}"]
    for target in TARGETS:
        state = "met" if _is_met(records, target) else "MISSED"
        value = found(records, target) or 0
        lines.append(f"{target.what:<44}{target.at_least:>10.2f}{value:>8.2f}  {state}")
    late = sum(record.late for record in records)
    lines.append(f"{'late counters':<44}{0:>10}{late:>8}  {'MISSED' if late else 'met'}")
    lines += ["", f"{'operation':<44}{'one frame':>12}{'further frame':>15}"]
    lines += [f"{c.what:<44}{c.batch_ns:>9.0f} ns{c.frame_ns:>12.0f} ns" for c in operations]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
