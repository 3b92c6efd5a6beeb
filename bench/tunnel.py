"""`python -m bench.tunnel`: pyfw, its peers and the machine's floor, side by side.

Three namespaces, the same daemon at both ends, rounds interleaved. What is compared are ratios of
medians: absolute figures hold for one machine on one day. docs/performance.md has the method.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench import candidates, markdown, plan, report, rounds, tables, targets
from bench.candidates import Candidate
from bench.conditions import Watch
from bench.peers import PEERS
from bench.results import Document, Entry, Results
from lab import Unavailable, pyfw_run
from lab.machine import this_machine

_DOCUMENTATION = Path(__file__).parent.parent / "docs" / "performance.md"


def main() -> None:
    """Measures, or reads what was measured; prints, writes, judges."""
    arguments = _arguments()
    if arguments.read:
        document = Document.load(arguments.read)
    else:
        try:
            document = _measured(arguments)
        except Unavailable as reason:
            sys.exit(f"bench: {reason}")
    results = Results(document)
    judged = targets.bars(results)
    print(tables.text(results, judged))
    if arguments.json:
        document.save(arguments.json)
    if arguments.html:
        arguments.html.write_text(report.page(results, judged), encoding="utf-8")
    if arguments.svg:
        arguments.svg.write_text(report.picture(results), encoding="utf-8")
    if arguments.markdown:
        markdown.replace_results(arguments.markdown, markdown.summary(results, judged))
        page = markdown.RESULTS / markdown.page_name(results)
        page.write_text(markdown.page(results, judged), encoding="utf-8")
    sys.exit(targets.exit_status(judged, document.rounds))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.tunnel", description=__doc__)
    wanted = parser.add_argument_group("what is measured")
    wanted.add_argument("--quick", action="store_true", help="what the bars need, under 5 minutes")
    wanted.add_argument("--rounds", type=int, default=targets.ROUNDS)
    wanted.add_argument("--seconds", type=float, help="of each window, instead of the plan's")
    wanted.add_argument(
        "--peers",
        type=_names,
        metavar="NAME,…",
        help=f"of {', '.join(PEERS)}; all, if none is named; “none” for none",
    )
    wanted.add_argument("--only", type=_names, default=[], metavar="PATTERN,…", help="measures")
    wanted.add_argument(
        "--nets", type=_names, default=[], metavar="PATTERN,…", help="such as ipv6-*"
    )
    wanted.add_argument("--settings", default="", help="lines for pyfw's NAME.pyfw.toml")
    wanted.add_argument(
        "--read", type=Path, metavar="FILE", help="measure nothing: an earlier --json"
    )
    written = parser.add_argument_group("what is written beside the table")
    written.add_argument("--json", type=Path, metavar="FILE", help="everything")
    written.add_argument("--html", type=Path, metavar="FILE", help="one page with charts")
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
        parser.error(f"no peer {', '.join(sorted(unknown))}: {', '.join(PEERS)}")
    return arguments


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _measured(arguments: argparse.Namespace) -> Document:
    chosen = plan.quick() if arguments.quick else plan.full()
    plans = plan.narrowed(chosen, arguments.only, arguments.nets)
    if not plans:
        sys.exit("bench: nothing of that name is measured")
    version, ciphers = _measurable()
    who = [*candidates.ours(arguments.settings, version, ciphers), *candidates.floors(version)]
    names = list(PEERS) if arguments.peers is None else arguments.peers
    peers, left_out = candidates.foreign([name for name in names if name != "none"])
    for name, reason in left_out.items():
        print(f"bench: {name} is left out: {reason}", file=sys.stderr)
    who += peers
    watch, began = Watch(), time.monotonic()
    found: dict[str, str] = {}
    records = []
    try:
        for record in rounds.measure(
            who, plans, arguments.rounds, found.__setitem__, arguments.seconds
        ):
            rounds.show(record, arguments.rounds)
            records.append(record)
    except KeyboardInterrupt:
        print("bench: interrupted; this is what was measured", file=sys.stderr)
    print(f"bench: measured for {time.monotonic() - began:.0f} s", file=sys.stderr)
    return Document(
        machine=this_machine(),
        conditions=watch.conditions(),
        plan="quick" if arguments.quick else "full",
        rounds=arguments.rounds,
        candidates=_entries(who, found),
        left_out=left_out,
        records=records,
    )


def _entries(who: Sequence[Candidate], ciphers: dict[str, str]) -> list[Entry]:
    return [
        Entry(
            name=one.name,
            kind=one.kind,
            title=one.title,
            version=one.version,
            cipher=ciphers.get(one.name, ""),
        )
        for one in who
    ]


def _measurable() -> tuple[str, list[str]]:
    """Version and ciphers of the pyfw that is started; not of the one that this runs in."""
    command = pyfw_run().command[0]
    shown = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    version = shown.stdout.strip().removeprefix("pyfw ")
    if version.endswith("(debug)"):
        sys.exit("bench: the extension is a debug build; make bench measures a release build")
    script = "from pyfw import _native; print(*_native.ciphers(), sep='\\n')"
    told = subprocess.run(
        [sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True, cwd="/"
    )
    return version, told.stdout.splitlines()


if __name__ == "__main__":
    main()
