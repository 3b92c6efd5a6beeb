"""`pyfw replay PATH…`: captures and cases through the data plane, without root, and what came of it."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pyfw.cli.group import fail

if TYPE_CHECKING:
    from pyfw.replay.case import Impairment
    from pyfw.replay.plan import Overrides
    from pyfw.replay.runner import Judged, Task

_RULES = ("ordered", "by-size", "by-ecn", "unbatched")  # as in pyfw.replay.case, loaded later
_USAGE = 2


def _processes(_ctx: click.Context, _option: click.Parameter, text: str) -> int:
    if text == "auto":
        return len(os.sched_getaffinity(0))
    if not text.isdigit() or not int(text):
        raise click.BadParameter(f"{text} is neither a number of processes nor auto")
    return int(text)


_IMPAIRMENTS: dict[str, tuple[type, str]] = {
    "loss": (float, "Fraction of datagrams lost."),
    "loss_burst": (float, "Mean length of a run of losses."),
    "delay_ms": (float, "Delay of every datagram."),
    "jitter_ms": (float, "Further delay, random up to this."),
    "reorder": (float, "Fraction of datagrams held back by --reorder-ms."),
    "reorder_ms": (float, "See --reorder."),
    "duplicate": (float, "Fraction of datagrams that come twice."),
    "corrupt": (float, "Fraction of datagrams with a flipped bit."),
    "ce": (float, "Fraction of ECN-capable datagrams marked CE."),
    "wire_mtu": (int, "Outer packets above this vanish."),
    "rate_mbit": (float, "Rate limit."),
    "queue_ms": (float, "Longest queue before the rate limit."),
}


def _impairment_options(command: Callable[..., None]) -> Callable[..., None]:
    for name, (kind, text) in reversed(_IMPAIRMENTS.items()):
        flag = "--" + name.replace("_", "-")
        command = click.option(flag, name, type=kind, help=f"Wire: {text}")(command)
    return command


@click.command(name="replay", short_help="Replay captures and cases, and judge the order.")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--rule", "rules", multiple=True, type=click.Choice(_RULES), help="Repeatable.")
@click.option("--html", type=click.Path(dir_okay=False), help="Write a report to FILE.")
@click.option("--json", "json_", type=click.Path(dir_okay=False, allow_dash=True), help="Or -.")
@click.option("--junitxml", type=click.Path(dir_okay=False), help="Write JUnit XML to FILE.")
@click.option("--update", is_flag=True, help="Rewrite expected outcomes, and show the difference.")
@click.option("--ci", is_flag=True, help="Refuse --update, as where CI is set.")
@click.option("-w", "write", type=click.Path(dir_okay=False), help="Write inner and outer pcapng.")
@click.option("--secrets", is_flag=True, help="Put the keys into what -w writes.")
@click.option("--keylog", type=click.Path(exists=True, path_type=Path), help="Keys: outer capture.")
@click.option("--outer", is_flag=True, help="The capture is WireGuard, with its own secrets.")
@click.option("--client", "clients", multiple=True, help="Inner network of the client; repeatable.")
@click.option("--tso", is_flag=True, help="Hand over super-packets, as a kernel with TSO.")
@click.option("--stage", "stages", multiple=True, metavar="USE[?KEY=VALUE&...]", help="Repeatable.")
@click.option("--stage-end", metavar="NAME", help="Where --stage stands: this end, not the hub.")
@click.option("--mtu", type=click.IntRange(68, 65_475), help="MTU of the tunnel.")
@click.option("--seed", type=click.IntRange(0), help="Where all randomness comes from.")
@click.option("-k", "expression", metavar="EXPR", help="Only cases that match, as in pytest.")
@click.option("-n", "--jobs", default="1", callback=_processes, help="N processes, or auto.")
@click.option("-q", "--quiet", is_flag=True, help="Only what is wrong, and the counts.")
@click.option("-v", "--verbose", is_flag=True, help="Tables of every case.")
@_impairment_options
def replay(paths: tuple[str, ...], **given: Any) -> None:
    """Replay PATHs: folders of *.replay.toml, cases, or captures (pcap, pcapng, gzip; - is stdin).

    Ends with 0 where all came out as expected, 1 where something differs, 2 where an option, a case or
    a capture is wrong; what stands before the fault in a capture is replayed.
    """
    from pyfw.replay import find, plan, runner, terminal

    given["paths"] = paths
    if given["update"] and (given["ci"] or runner.in_ci()):
        fail("--update: refused in continuous integration", _USAGE)
    try:
        overrides = _overrides(given)
        if given["update"] and (overrides.change_outcome() or given["rules"]):
            fail("--update: expectations are written from the cases as they stand", _USAGE)
        wanted = find.selector(given["expression"]) if given["expression"] else _everything
    except ValueError as error:
        fail(error, _USAGE)
    try:
        found = find.find(paths)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}", _USAGE)
    chosen = [one for one in found if wanted(one.name)]
    groups: list[list[Task]] = []
    for one in chosen:
        case = plan.with_overrides(one.case, overrides) if one.case else None
        groups.append(_tasks(one.name, case, one.problem, given, overrides))
    _write_check(given, groups)
    if any(task.case is not None and task.case.stages for group in groups for task in group):
        from pyfw.observe import log

        log.configure()  # a stage's own log goes to standard error
    to_stdout = given["json_"] == "-"
    out = sys.stderr if to_stdout else sys.stdout
    colour = terminal.colours(out)
    progress = terminal.ProgressLine(sys.stderr) if sys.stderr.isatty() else None
    verbosity = given["verbose"] - given["quiet"]
    judged: list[Judged] = []
    runs = runner.run_all([task for group in groups for task in group], given["jobs"], progress)
    for group in groups:
        ran = [next(runs) for _ in group]
        if progress:
            progress.clear()
        for line in terminal.group_lines(ran, verbose=verbosity, colour=colour):
            click.echo(line, file=out)
        judged += ran
    _write_files(given, judged)
    left_out = len(found) - len(chosen)
    click.echo(terminal.count_line(judged, left_out, colour=colour), file=out)
    states = {one.status for one in judged}
    sys.exit(_USAGE if "broken" in states or not judged else int("failed" in states))


def _everything(_name: str) -> bool:
    return True


def _overrides(given: dict[str, Any]) -> "Overrides":
    from pyfw.config import values
    from pyfw.config.stage_argument import from_text
    from pyfw.replay.plan import Overrides

    if given["stage_end"] and not given["stages"]:
        raise ValueError("--stage-end: needs --stage")
    outer = given["outer"] or given["keylog"] is not None
    return Overrides(
        frames="tso" if given["tso"] else None,
        mtu=given["mtu"],
        seed=given["seed"],
        impairment=_impairment(given),
        clients=tuple(values.network(text) for text in given["clients"]),
        kind="outer" if outer else None,
        keylog=given["keylog"],
        stages=tuple(from_text(text, f"--stage {text}") for text in given["stages"]),
        stage_end=given["stage_end"],
    )


def _impairment(given: dict[str, Any]) -> "Impairment | None":
    from pyfw.replay.case import IMPAIRMENT_CHECKS, Impairment

    asked: dict[str, Any] = {}
    for name in _IMPAIRMENTS:
        if given[name] is not None:
            key = "mtu" if name == "wire_mtu" else name
            try:
                asked[key] = IMPAIRMENT_CHECKS[key](given[name])
            except ValueError as error:
                raise ValueError(f"--{name.replace('_', '-')}: {given[name]} {error}") from None
    return Impairment(**asked) if asked else None


def _tasks(
    name: str, case: Any, problem: str, given: dict[str, Any], overrides: "Overrides"
) -> "list[Task]":
    import msgspec

    from pyfw.replay.runner import Task

    if case is None:
        return [Task(name=name, case=None, rule="", problem=problem)]
    if case.file is None and not (given["html"] or given["json_"]):
        # A bare capture of any length, and nobody who would look at single batches.
        case = msgspec.structs.replace(case, keep=0)
    same = not overrides.change_outcome()
    return [
        Task(
            name=name,
            case=case,
            rule=rule,
            judge=case.expected is not None and same and rule == case.rule,
            update=given["update"],
            write=given["write"],
            secrets=given["secrets"],
        )
        for rule in dict.fromkeys(given["rules"] or (case.rule,))
    ]


def _write_check(given: dict[str, Any], groups: "Sequence[Sequence[Task]]") -> None:
    tasks = [task for group in groups for task in group]
    if given["secrets"] and not given["write"]:
        fail("--secrets: needs -w FILE", _USAGE)
    if sum(task.case is not None and task.case.capture == "-" for task in tasks) > 1:
        fail("-: standard input can be read once: give one --rule", _USAGE)
    written = [given[key] for key in ("write", "html", "json_", "junitxml") if given[key]]
    if given["write"] and len(tasks) != 1:
        fail(f"-w: one replay at a time, not {len(tasks)}", _USAGE)
    inputs = {Path(task.case.capture).resolve() for task in tasks if task.case is not None}
    for name in written:
        if name != "-" and Path(name).resolve() in inputs:
            fail(f"{name}: is a capture that is read", _USAGE)


def _write_files(given: dict[str, Any], judged: "Sequence[Judged]") -> None:
    from pyfw.replay import files

    try:
        if given["json_"] == "-":
            click.echo(files.json_text(judged), nl=False)
        elif given["json_"]:
            Path(given["json_"]).write_text(files.json_text(judged))
        if given["junitxml"]:
            Path(given["junitxml"]).write_text(files.junit_text(judged))
        if given["html"]:
            from pyfw.replay.report import Run, write_report

            runs = [
                Run(
                    title=one.why or one.name,
                    rule=one.rule,
                    case=one.name,
                    result=one.result,
                    expected_ok=None
                    if one.status == "shown"
                    else one.status in ("passed", "updated"),
                    diff="\n".join(one.differences),
                )
                for one in judged
                if one.result is not None
            ]
            write_report(Path(given["html"]), runs)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}", _USAGE)
