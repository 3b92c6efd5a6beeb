"""Runs cases and judges them: the same bytes whatever the number of processes.

In: cases and rules. Out: one Judged a case and rule, in the order they were given.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import msgspec

from pyfw.observe import log
from pyfw.replay.case import Case
from pyfw.replay.compare import differences
from pyfw.replay.outcome import decode, encode, outcome_of
from pyfw.replay.plan import opened, plan_of
from pyfw.replay.stages import running

Progress = Callable[[int, int | None, int], bool]
Status = Literal["passed", "failed", "shown", "updated", "broken"]


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One case under one rule."""

    name: str
    case: Case | None
    """None: the case could not be read; `problem` says why."""
    rule: str
    judge: bool = False
    """Whether the outcome is compared with what is expected."""
    update: bool = False
    write: str | None = None
    secrets: bool = False
    problem: str = ""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a task."""

    name: str
    rule: str
    why: str = ""
    status: Status
    """shown: there was nothing to compare with. broken: not replayed, or not to the capture's end."""
    result: dict[str, Any] | None = None
    differences: tuple[str, ...] = ()
    """What differs from what is expected; after an update, what was changed."""
    problem: str = ""


def run_all(tasks: Iterable[Task], jobs: int, progress: Progress | None) -> Iterator[Judged]:
    """Runs tasks, in as many processes as asked, and yields in order."""
    tasks = list(tasks)
    jobs = min(jobs, len(tasks))
    if jobs <= 1:
        for task in tasks:
            yield run(task, progress)
        return
    # spawn: a forked child would inherit the state of native threads.
    context = get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=log.configure) as pool:
        yield from pool.map(run, tasks)


def run(task: Task, progress: Progress | None = None) -> Judged:
    """Replays one case under one rule, and compares."""
    from pyfw import _native

    case = task.case
    if case is None:
        return Judged(name=task.name, rule=task.rule, status="broken", problem=task.problem)
    named: dict[str, Any] = {"name": task.name, "rule": task.rule, "why": case.why}
    try:
        with opened(case) as ready, running(ready) as stages:
            plan = plan_of(ready, task.rule, write=task.write, secrets=task.secrets)
            result = _native.replay(plan | {"stages": stages.chains}, progress)
            stages.add_counters(result)
            faults = tuple(stages.faults())
    except (OSError, ValueError) as error:
        return Judged(**named, status="broken", problem=_words(error, case))
    if not task.judge or case.expected is None:
        if result["error"] is not None:
            return Judged(**named, status="broken", result=result, problem=_corrupt(result))
        status: Status = "failed" if faults else "shown"
        return Judged(**named, status=status, result=result, differences=faults)
    return _judge(task, case.expected, named, result, faults)


def in_ci(environment: dict[str, str] | None = None) -> bool:
    """Whether this is continuous integration, where expectations are never rewritten."""
    value = (os.environ if environment is None else environment).get("CI", "")
    return value.casefold() not in ("", "0", "false", "no")


def _judge(
    task: Task, file: Path, named: dict[str, Any], result: dict[str, Any], faults: tuple[str, ...]
) -> Judged:
    outcome = outcome_of(result)
    try:
        expected = decode(file.read_text()) if file.exists() else None
    except (OSError, ValueError) as error:
        if not task.update:
            return Judged(**named, status="broken", result=result, problem=f"{file}: {error}")
        expected = None
    if expected is None:
        found = [f"{file.name}: missing; pyfw replay --update writes it"]
    else:
        found = differences(expected, outcome)
    if task.update:
        # Also without a difference: the text may be of an older form.
        text = encode(outcome)
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
            found = found if expected is not None else [f"{file.name}: new"]
            return Judged(**named, status="updated", result=result, differences=tuple(found))
        return Judged(**named, status="passed", result=result)
    if not found:
        return Judged(**named, status="passed", result=result)
    corrupt = result["error"] is not None and (expected or outcome)["error"] != result["error"]
    return Judged(
        **named,
        status="broken" if corrupt else "failed",
        result=result,
        differences=(*found, *faults),
        problem=_corrupt(result) if corrupt else "",
    )


def _corrupt(result: dict[str, Any]) -> str:
    error = result["error"]
    return (
        f"corrupt capture at byte {error['offset']}: {error['text']}; "
        f"the {result['packets']} packets before it were replayed"
    )


def _words(error: Exception, case: Case) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename or case.capture}"
    return str(error)
