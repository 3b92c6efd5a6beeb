"""`pyfw replay PATH…`: replays captures and cases through the data plane, and checks the results."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pyfw.cli.errors import fail
from pyfw.control import exit_status

if TYPE_CHECKING:
    from pyfw.replay.case import Impairment
    from pyfw.replay.plan import Overrides
    from pyfw.replay.runner import Judged, Task

_RULES = (
    "ordered",
    "by-size",
    "by-ecn",
    "unbatched",
)  # those of pyfw.replay.case, which loads slowly


def _processes(_ctx: click.Context, _option: click.Parameter, text: str) -> int:
    if text == "auto":
        return len(os.sched_getaffinity(0))
    if not text.isdigit() or not int(text):
        raise click.BadParameter(f"{text}: expected a number of processes, or auto")
    return int(text)


_IMPAIRMENTS: dict[str, tuple[type, str]] = {
    "loss": (float, "Fraction of datagrams to lose."),
    "loss_burst": (float, "Mean number of consecutive losses."),
    "delay_ms": (float, "Delay of every datagram."),
    "jitter_ms": (float, "Maximum of an additional random delay."),
    "reorder": (float, "Fraction of datagrams to delay by --reorder-ms."),
    "reorder_ms": (float, "Delay of --reorder."),
    "duplicate": (float, "Fraction of datagrams to duplicate."),
    "corrupt": (float, "Fraction of datagrams in which to flip a bit."),
    "ce": (float, "Fraction of ECN-capable datagrams to mark CE."),
    "wire_mtu": (int, "Outer MTU; longer packets are lost."),
    "rate_mbit": (float, "Rate limit."),
    "queue_ms": (float, "Maximum queueing delay of the rate limit."),
}


def _impairment_options(command: Callable[..., None]) -> Callable[..., None]:
    for name, (kind, text) in reversed(_IMPAIRMENTS.items()):
        flag = "--" + name.replace("_", "-")
        command = click.option(flag, name, type=kind, help=f"Network: {text}")(command)
    return command


@click.command(name="replay", short_help="Replay captures and cases, and check the order.")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--rule",
    "rules",
    multiple=True,
    type=click.Choice(_RULES),
    help="Batching rule; repeatable.",
)
@click.option("--html", type=click.Path(dir_okay=False), help="Write an HTML report.")
@click.option(
    "--json",
    "json_",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="Write JSON; - is standard output.",
)
@click.option("--junitxml", type=click.Path(dir_okay=False), help="Write JUnit XML.")
@click.option("--update", is_flag=True, help="Rewrite expected outcomes, and print the changes.")
@click.option("--ci", is_flag=True, help="Refuse --update; implied if CI is set.")
@click.option("-w", "write", type=click.Path(dir_okay=False), help="Write a pcapng of both sides.")
@click.option("--secrets", is_flag=True, help="Include the keys in the file of -w.")
@click.option(
    "--keylog",
    type=click.Path(exists=True, path_type=Path),
    help="Key log of an outer capture.",
)
@click.option("--outer", is_flag=True, help="The capture is WireGuard, and contains its keys.")
@click.option("--client", "clients", multiple=True, help="Network behind the client; repeatable.")
@click.option("--tso", is_flag=True, help="Send super-packets, as a kernel with TSO.")
@click.option(
    "--stage",
    "stages",
    multiple=True,
    metavar="USE[?KEY=VALUE&...]",
    help="Add a stage; repeatable.",
)
@click.option("--stage-end", metavar="NAME", help="End of --stage, instead of the hub.")
@click.option("--mtu", type=click.IntRange(68, 65_475), help="MTU of the tunnel.")
@click.option("--seed", type=click.IntRange(0), help="Seed of all randomness.")
@click.option("-k", "expression", metavar="EXPR", help="Run only cases that match, as in pytest.")
@click.option(
    "-n", "--jobs", default="1", callback=_processes, help="Number of processes, or auto."
)
@click.option("-q", "--quiet", is_flag=True, help="Print only failures and counts.")
@click.option("-v", "--verbose", is_flag=True, help="Print tables of every case.")
@_impairment_options
def replay(paths: tuple[str, ...], **options: Any) -> None:
    """Replay PATHs: folders of *.replay.toml, cases, or captures (pcap, pcapng, gzip; - is stdin).

    Exits with 0 if all outcomes are as expected, with 1 if one differs, and with 2 if an option, a case
    or a capture is invalid. Packets before an error in a capture are replayed.
    """
    from pyfw.replay import find, plan, runner, terminal

    options["paths"] = paths
    if options["update"] and (options["ci"] or runner.in_ci()):
        fail("--update is refused in continuous integration", exit_status.USAGE)
    try:
        overrides = _overrides(options)
        if options["update"] and (overrides.change_outcome() or options["rules"]):
            fail("--update: remove the options that change the cases", exit_status.USAGE)
        is_selected = find.selector(options["expression"]) if options["expression"] else _all
    except ValueError as error:
        fail(error, exit_status.USAGE)
    try:
        found = find.find(paths)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}", exit_status.USAGE)
    selected = [one for one in found if is_selected(one.name)]
    groups: list[list[Task]] = []
    for one in selected:
        case = plan.with_overrides(one.case, overrides) if one.case else None
        groups.append(_tasks(one.name, case, one.problem, options, overrides))
    _check_outputs(options, groups)
    if any(task.case is not None and task.case.stages for group in groups for task in group):
        from pyfw.observe import log

        log.configure()  # stages log to standard error
    to_stdout = options["json_"] == "-"
    out = sys.stderr if to_stdout else sys.stdout
    colour = terminal.colours(out)
    progress = terminal.ProgressLine(sys.stderr) if sys.stderr.isatty() else None
    verbosity = options["verbose"] - options["quiet"]
    judged: list[Judged] = []
    runs = runner.run_all([task for group in groups for task in group], options["jobs"], progress)
    for group in groups:
        ran = [next(runs) for _ in group]
        if progress:
            progress.clear()
        for line in terminal.group_lines(ran, verbose=verbosity, colour=colour):
            click.echo(line, file=out)
        judged += ran
    _write_files(options, judged)
    deselected = len(found) - len(selected)
    click.echo(terminal.count_line(judged, deselected, colour=colour), file=out)
    states = {one.status for one in judged}
    sys.exit(exit_status.USAGE if "broken" in states or not judged else int("failed" in states))


def _all(_name: str) -> bool:
    return True


def _overrides(options: dict[str, Any]) -> "Overrides":
    from pyfw.config import values
    from pyfw.config.stage_argument import from_text
    from pyfw.replay.plan import Overrides

    if options["stage_end"] and not options["stages"]:
        raise ValueError("--stage-end needs --stage")
    outer = options["outer"] or options["keylog"] is not None
    return Overrides(
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

    fields: dict[str, Any] = {}
    for name in _IMPAIRMENTS:
        if options[name] is not None:
            key = "mtu" if name == "wire_mtu" else name
            try:
                fields[key] = IMPAIRMENT_CHECKS[key](options[name])
            except ValueError as error:
                raise ValueError(f"--{name.replace('_', '-')}: {options[name]} {error}") from None
    return Impairment(**fields) if fields else None


def _tasks(
    name: str, case: Any, problem: str, options: dict[str, Any], overrides: "Overrides"
) -> "list[Task]":
    import msgspec

    from pyfw.replay.runner import Task

    if case is None:
        return [Task(name=name, case=None, rule="", problem=problem)]
    if case.file is None and not (options["html"] or options["json_"]):
        # A capture may be of any length, and only reports contain single batches.
        case = msgspec.structs.replace(case, keep=0)
    is_unchanged = not overrides.change_outcome()
    return [
        Task(
            name=name,
            case=case,
            rule=rule,
            judge=case.expected is not None and is_unchanged and rule == case.rule,
            update=options["update"],
            write=options["write"],
            secrets=options["secrets"],
        )
        for rule in dict.fromkeys(options["rules"] or (case.rule,))
    ]


def _check_outputs(options: dict[str, Any], groups: "Sequence[Sequence[Task]]") -> None:
    tasks = [task for group in groups for task in group]
    if options["secrets"] and not options["write"]:
        fail("--secrets needs -w FILE", exit_status.USAGE)
    if sum(task.case is not None and task.case.capture == "-" for task in tasks) > 1:
        fail("-: standard input can be read only once; use one --rule", exit_status.USAGE)
    outputs = [options[key] for key in ("write", "html", "json_", "junitxml") if options[key]]
    if options["write"] and len(tasks) != 1:
        fail(f"-w takes one replay, not {len(tasks)}", exit_status.USAGE)
    inputs = {Path(task.case.capture).resolve() for task in tasks if task.case is not None}
    for name in outputs:
        if name != "-" and Path(name).resolve() in inputs:
            fail(f"{name} is one of the captures to read", exit_status.USAGE)


def _write_files(options: dict[str, Any], judged: "Sequence[Judged]") -> None:
    from pyfw.replay import files

    try:
        if options["json_"] == "-":
            click.echo(files.json_text(judged), nl=False)
        elif options["json_"]:
            Path(options["json_"]).write_text(files.json_text(judged))
        if options["junitxml"]:
            Path(options["junitxml"]).write_text(files.junit_text(judged))
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
                for one in judged
                if one.result is not None
            ]
            write_report(Path(options["html"]), runs)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}", exit_status.USAGE)
