"""`pyfw replay PATH…`: replays captures and cases, without root."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pyfw.cli.errors import fail
from pyfw.control import exit_status

if TYPE_CHECKING:
    from pyfw.replay.case import Case, Impairment
    from pyfw.replay.prepare import CaseOverrides
    from pyfw.replay.runner import Task, TaskResult

_RULES = ("ordered", "by-size", "by-ecn", "unbatched")  # as in pyfw.replay.case, loaded later


def _processes(_ctx: click.Context, _option: click.Parameter, text: str) -> int:
    if text == "auto":
        return len(os.sched_getaffinity(0))
    if not text.isdigit() or not int(text):
        raise click.BadParameter(f"{text} is neither a number of processes nor auto")
    return int(text)


_IMPAIRMENTS: dict[str, tuple[type, str]] = {
    "loss": (float, "Fraction of datagrams lost."),
    "loss_burst": (float, "Mean number of consecutive losses."),
    "delay_ms": (float, "Delay of every datagram."),
    "jitter_ms": (float, "Maximum of a random additional delay."),
    "reorder": (float, "Fraction of datagrams delayed by --reorder-ms."),
    "reorder_ms": (float, "Additional delay of reordered datagrams."),
    "duplicate": (float, "Fraction of datagrams delivered twice."),
    "corrupt": (float, "Fraction of datagrams with one flipped bit."),
    "ce": (float, "Fraction of ECN-capable datagrams marked CE."),
    "wire_mtu": (int, "Outer MTU; longer packets are lost."),
    "rate_mbit": (float, "Rate limit in Mbit/s."),
    "queue_ms": (float, "Maximum queueing delay of the rate limit."),
}


def _impairment_options(command: Callable[..., None]) -> Callable[..., None]:
    for name, (kind, text) in reversed(_IMPAIRMENTS.items()):
        flag = "--" + name.replace("_", "-")
        command = click.option(flag, name, type=kind, help=f"Wire: {text}")(command)
    return command


_OUTPUT = click.Path(dir_okay=False)
_OUTPUT_OR_STDOUT = click.Path(dir_okay=False, allow_dash=True)
_INPUT = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(name="replay", short_help="Replay captures and cases, and check the packet order.")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--rule", "rules", multiple=True, type=click.Choice(_RULES), help="Batching rule; repeatable."
)
@click.option("--html", type=_OUTPUT, help="Write an HTML report.")
@click.option("--json", "json_", type=_OUTPUT_OR_STDOUT, help="Write JSON; - is standard output.")
@click.option("--junitxml", type=_OUTPUT, help="Write JUnit XML.")
@click.option("--update", is_flag=True, help="Rewrite expected.json and show what changed.")
@click.option("--ci", is_flag=True, help="Refuse --update, as if CI were set.")
@click.option("-w", "write", type=_OUTPUT, help="Write a pcapng of inner and outer packets.")
@click.option("--secrets", is_flag=True, help="Include the keys in the file of -w.")
@click.option("--keylog", type=_INPUT, help="Key log to decrypt a capture of WireGuard.")
@click.option("--outer", is_flag=True, help="The captures are WireGuard and contain their keys.")
@click.option(
    "--client",
    "clients",
    multiple=True,
    metavar="NET",
    help="Network behind the client; repeatable.",
)
@click.option("--tso", is_flag=True, help="Merge segments to super-packets, as a kernel with TSO.")
@click.option(
    "--stage",
    "stages",
    multiple=True,
    metavar="USE[?KEY=VALUE&...]",
    help="Add a stage; repeatable.",
)
@click.option("--stage-end", metavar="NAME", help="End of --stage; default: the hub.")
@click.option("--mtu", type=click.IntRange(68, 65_475), help="MTU of the tunnel.")
@click.option("--seed", type=click.IntRange(0), help="Seed of all randomness.")
@click.option("-k", "expression", metavar="EXPR", help="Select cases by name, as in pytest.")
@click.option(
    "-n", "--jobs", default="1", metavar="N", callback=_processes, help="Processes, or auto."
)
@click.option("-q", "--quiet", is_flag=True, help="Print only failures and counts.")
@click.option("-v", "--verbose", is_flag=True, help="Print the tables of every case.")
@_impairment_options
def replay(paths: tuple[str, ...], **options: Any) -> None:
    """Replay PATHs: captures (pcap, pcapng, gzip; - is standard input), cases, and folders of cases.

    Exit status: 0 if all results are as expected, 1 if a result differs, 2 if an option, a case or a capture
    is invalid. A corrupt capture is replayed up to the error.
    """
    from pyfw.replay import collect, prepare, runner, terminal

    if options["update"] and (options["ci"] or runner.in_ci()):
        fail("--update is refused in continuous integration", exit_status.USAGE)
    try:
        overrides = _overrides(options)
        if options["update"] and (overrides.change_result() or options["rules"]):
            fail("--update: remove the options that change the result", exit_status.USAGE)
        expression = options["expression"]
        matches = collect.name_filter(expression) if expression else lambda _name: True
    except ValueError as error:
        fail(error, exit_status.USAGE)
    try:
        collected = collect.collect(paths)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}", exit_status.USAGE)
    selected = [one for one in collected if matches(one.name)]
    groups: list[list[Task]] = []
    for one in selected:
        case = prepare.apply_overrides(one.case, overrides) if one.case else None
        groups.append(_tasks(one.name, case, one.problem, options, overrides))
    tasks = [task for group in groups for task in group]
    _check_outputs(options, tasks)
    if any(task.case is not None and task.case.stages for task in tasks):
        from pyfw.observe import log

        log.configure()  # stages log to standard error
    out = sys.stderr if options["json_"] == "-" else sys.stdout
    colour = terminal.supports_colour(out)
    progress = terminal.ProgressLine(sys.stderr) if sys.stderr.isatty() else None
    verbose = options["verbose"] - options["quiet"]
    results: list[TaskResult] = []
    runs = runner.run_all(tasks, options["jobs"], progress)
    for group in groups:
        group_results = [next(runs) for _ in group]
        if progress:
            progress.clear()
        for line in terminal.group_lines(group_results, verbose=verbose, colour=colour):
            click.echo(line, file=out)
        results += group_results
    _write_files(options, results)
    deselected = len(collected) - len(selected)
    click.echo(terminal.count_line(results, deselected, colour=colour), file=out)
    states = {one.status for one in results}
    sys.exit(exit_status.USAGE if "broken" in states or not results else int("failed" in states))


def _overrides(options: dict[str, Any]) -> "CaseOverrides":
    from pyfw.config import values
    from pyfw.config.stage_argument import from_text
    from pyfw.replay.prepare import CaseOverrides

    if options["stage_end"] and not options["stages"]:
        raise ValueError("--stage-end needs --stage")
    outer = options["outer"] or options["keylog"] is not None
    return CaseOverrides(
        frames="tso" if options["tso"] else None,
        mtu=options["mtu"],
        seed=options["seed"],
        impairment=_impairment(options),
        clients=tuple(values.network(text) for text in options["clients"]),
        kind="outer" if outer else None,
        keylog=options["keylog"],
        stages=tuple(from_text(text, f"--stage {text}") for text in options["stages"]),
        stage_end=options["stage_end"],
    )


def _impairment(options: dict[str, Any]) -> "Impairment | None":
    from pyfw.replay.case import IMPAIRMENT_CHECKS, Impairment

    values: dict[str, Any] = {}
    for name in _IMPAIRMENTS:
        if options[name] is not None:
            key = "mtu" if name == "wire_mtu" else name
            try:
                values[key] = IMPAIRMENT_CHECKS[key](options[name])
            except ValueError as error:
                flag = "--" + name.replace("_", "-")
                raise ValueError(f"{flag}: {options[name]} {error}") from None
    return Impairment(**values) if values else None


def _tasks(
    name: str,
    case: "Case | None",
    problem: str,
    options: dict[str, Any],
    overrides: "CaseOverrides",
) -> "list[Task]":
    import msgspec

    from pyfw.replay.runner import Task

    if case is None:
        return [Task(name=name, case=None, problem=problem)]
    if case.file is None and not (options["html"] or options["json_"]):
        # Only reports show single batches, and a bare capture may be long.
        case = msgspec.structs.replace(case, keep=0)
    is_comparable = case.expected is not None and not overrides.change_result()
    return [
        Task(
            name=name,
            case=case,
            rule=rule,
            compare=is_comparable and rule == case.rule,
            update=options["update"],
            write=options["write"],
            secrets=options["secrets"],
        )
        for rule in dict.fromkeys(options["rules"] or (case.rule,))
    ]


def _check_outputs(options: dict[str, Any], tasks: "Sequence[Task]") -> None:
    captures = [task.case.capture for task in tasks if task.case is not None]
    if options["secrets"] and not options["write"]:
        fail("--secrets needs -w FILE", exit_status.USAGE)
    if captures.count("-") > 1:
        fail("-: standard input can be read only once; use one --rule", exit_status.USAGE)
    if options["write"] and len(tasks) != 1:
        fail(f"-w takes one replay, not {len(tasks)}", exit_status.USAGE)
    inputs = {Path(capture).resolve() for capture in captures}
    for key in ("write", "html", "json_", "junitxml"):
        name = options[key]
        if name and name != "-" and Path(name).resolve() in inputs:
            fail(f"{name} is one of the captures to read", exit_status.USAGE)


def _write_files(options: dict[str, Any], results: "Sequence[TaskResult]") -> None:
    from pyfw.replay import export

    try:
        if options["json_"] == "-":
            click.echo(export.json_text(results), nl=False)
        elif options["json_"]:
            Path(options["json_"]).write_text(export.json_text(results))
        if options["junitxml"]:
            Path(options["junitxml"]).write_text(export.junit_text(results))
        if options["html"]:
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
                for one in results
                if one.result is not None
            ]
            write_report(Path(options["html"]), runs)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}", exit_status.USAGE)
