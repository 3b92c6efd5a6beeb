"""`python -m bench.tunnel`: measures pyfw, its peers and the machine's baseline in interleaved rounds.

Each candidate runs as the daemon at both ends of a tunnel in three namespaces. Candidates are compared by
ratios of medians, since absolute figures depend on the machine and the day. docs/performance.md has the
method.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench import candidates, markdown, plan, report, rounds, tables, targets
from bench.candidates import Candidate
from bench.conditions import ConditionsRecorder
from bench.peers import PEERS
from bench.results import Document, Entry, Results
from lab import Unavailable
from lab.machine import this_machine

_DOCUMENTATION = Path(__file__).parent.parent / "docs" / "performance.md"


def main() -> None:
    """Measures, or reads an earlier run; prints and writes the results; exits with the targets' status."""
    arguments = _arguments()
    if arguments.read:
        document = Document.load(arguments.read)
    else:
        try:
            document = _measured(arguments)
        except Unavailable as reason:
            sys.exit(f"bench: {reason}")
    results = Results(document)
    evaluated = targets.evaluate(results)
    print(tables.text(results, evaluated))
    if arguments.json:
        document.save(arguments.json)
    if arguments.html:
        arguments.html.write_text(report.page(results, evaluated), encoding="utf-8")
    if arguments.svg:
        arguments.svg.write_text(report.picture(results), encoding="utf-8")
    if arguments.markdown:
        markdown.replace_results(arguments.markdown, markdown.summary(results, evaluated))
        page = markdown.RESULTS / markdown.page_name(results)
        page.write_text(markdown.page(results, evaluated), encoding="utf-8")
    sys.exit(targets.exit_status(evaluated, document.rounds))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.tunnel", description=__doc__)
    measured = parser.add_argument_group("what to measure")
    measured.add_argument(
        "--quick", action="store_true", help="only what the targets need; under five minutes"
    )
    measured.add_argument(
        "--rounds", type=int, default=targets.ROUNDS, help="rounds (default: %(default)s)"
    )
    measured.add_argument(
        "--seconds", type=float, help="duration of each measure (default: the plan's)"
    )
    measured.add_argument(
        "--peers",
        type=_names,
        metavar="NAME,…",
        help=f"peers to compare with, of {', '.join(PEERS)} (default: all); “none” for none",
    )
    measured.add_argument(
        "--only",
        type=_names,
        default=[],
        metavar="PATTERN,…",
        help="measures to take, such as tcp-1-* (default: all of the plan)",
    )
    measured.add_argument(
        "--nets",
        type=_names,
        default=[],
        metavar="PATTERN,…",
        help="networks to measure in, such as ipv6-* (default: all of the plan)",
    )
    measured.add_argument("--settings", default="", help="lines for pyfw's NAME.pyfw.toml")
    measured.add_argument(
        "--read", type=Path, metavar="FILE", help="measure nothing; read the --json of a run"
    )
    written = parser.add_argument_group("what to write beside the table")
    written.add_argument("--json", type=Path, metavar="FILE", help="all results")
    written.add_argument("--html", type=Path, metavar="FILE", help="an HTML page with charts")
    written.add_argument("--svg", type=Path, metavar="FILE", help="the chart for the README")
    written.add_argument(
        "--markdown",
        type=Path,
        nargs="?",
        const=_DOCUMENTATION,
        metavar="FILE",
        help="update the summary in docs/performance.md, and write the tables to bench/results",
    )
    arguments = parser.parse_args()
    unknown = set(arguments.peers or ()) - set(PEERS) - {"none"}
    if unknown:
        parser.error(
            f"unknown peer {', '.join(sorted(unknown))}: expected {', '.join(PEERS)} or none"
        )
    return arguments


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _measured(arguments: argparse.Namespace) -> Document:
    chosen = plan.quick() if arguments.quick else plan.full()
    plans = plan.select(chosen, arguments.only, arguments.nets)
    if not plans:
        sys.exit("bench: no measure of the plan matches --only and --nets")
    version, ciphers = _installed()
    measured = [
        *candidates.ours(arguments.settings, version, ciphers),
        *candidates.baselines(version),
    ]
    names = list(PEERS) if arguments.peers is None else arguments.peers
    peers, left_out = candidates.installed_peers([name for name in names if name != "none"])
    for name, reason in left_out.items():
        print(f"bench: {name} is left out: {reason}", file=sys.stderr)
    measured += peers
    recorder, began = ConditionsRecorder(), time.monotonic()
    ciphers_used: dict[str, str] = {}
    records = []
    try:
        for record in rounds.measure(
            measured, plans, arguments.rounds, ciphers_used.__setitem__, arguments.seconds
        ):
            rounds.show(record, arguments.rounds)
            records.append(record)
    except KeyboardInterrupt:
        print("bench: interrupted; these are the results so far", file=sys.stderr)
    print(f"bench: measured for {time.monotonic() - began:.0f} s", file=sys.stderr)
    return Document(
        machine=this_machine(),
        conditions=recorder.conditions(),
        plan="quick" if arguments.quick else "full",
        rounds=arguments.rounds,
        candidates=_entries(measured, ciphers_used),
        left_out=left_out,
        records=records,
    )


def _entries(measured: Sequence[Candidate], ciphers: dict[str, str]) -> list[Entry]:
    return [
        Entry(
            name=one.name,
            kind=one.kind,
            title=one.title,
            version=one.version,
            cipher=ciphers.get(one.name, ""),
        )
        for one in measured
    ]


def _installed() -> tuple[str, list[str]]:
    """Returns version and ciphers of the installed pyfw. Exits if it is a debug build."""
    from pyfw import _native

    if _native.build_profile == "debug":
        sys.exit(
            "bench: pyfw is a debug build, whose figures mean nothing; `make bench` builds a release"
        )
    return f"{_native.__version__} ({_native.build_profile})", _native.ciphers()


if __name__ == "__main__":
    main()
