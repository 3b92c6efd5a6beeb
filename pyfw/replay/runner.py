"""Replays cases and compares the results with their expectations, in one process or several."""

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
from pyfw.replay.expectation import decode, encode, expectation_from
from pyfw.replay.prepare import prepared
from pyfw.replay.stages import running_stages

Progress = Callable[[int, int | None, int], bool]
Status = Literal["passed", "failed", "shown", "updated", "broken"]


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One case under one rule."""

    name: str
    case: Case | None
    """None if the case could not be read; `problem` tells why."""
    rule: str = ""
    compare: bool = False
    """Whether to compare the result with the case's expectation."""
    update: bool = False
    write: str | None = None
    secrets: bool = False
    problem: str = ""


class TaskResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a task."""

    name: str
    rule: str
    why: str = ""
    status: Status
    """"shown": not compared. "broken": not replayed, or not up to the capture's end."""
    result: dict[str, Any] | None = None
    """As `pyfw._native.replay` returns it."""
    differences: tuple[str, ...] = ()
    """Differences from the expectation; after an update, what changed in it."""
    problem: str = ""


def run_all(tasks: Iterable[Task], jobs: int, progress: Progress | None) -> Iterator[TaskResult]:
    """Runs tasks in up to `jobs` processes; yields the results in the order of the tasks."""
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


def run(task: Task, progress: Progress | None = None) -> TaskResult:
    """Replays a case and compares the result."""
    from pyfw import _native

    case = task.case
    if case is None:
        return TaskResult(name=task.name, rule=task.rule, status="broken", problem=task.problem)
    common: dict[str, Any] = {"name": task.name, "rule": task.rule, "why": case.why}
    try:
        with prepared(case) as ready, running_stages(ready) as stages:
            result = _native.replay(
                msgspec.structs.replace(ready, rule=task.rule),
                stages=stages.chains,
                keylog=ready.keylog.read_text() if ready.keylog else None,
                write=task.write,
                secrets=task.secrets,
                progress=progress,
            )
            stages.add_counters(result)
            failures = tuple(stages.failures())
    except (OSError, ValueError) as error:
        return TaskResult(**common, status="broken", problem=_error_text(error, case))
    if task.compare and case.expected is not None:
        return _compare(task, case.expected, common, result, failures)
    if result["error"] is not None:
        return TaskResult(**common, status="broken", result=result, problem=_corrupt(result))
    status: Status = "failed" if failures else "shown"
    return TaskResult(**common, status=status, result=result, differences=failures)


def in_ci(environment: dict[str, str] | None = None) -> bool:
    """Returns whether CI is set, in which case expectations are never rewritten."""
    value = (os.environ if environment is None else environment).get("CI", "")
    return value.casefold() not in ("", "0", "false", "no")


def _compare(
    task: Task,
    file: Path,
    common: dict[str, Any],
    result: dict[str, Any],
    failures: tuple[str, ...],
) -> TaskResult:
    got = expectation_from(result)
    try:
        expected = decode(file.read_text()) if file.exists() else None
    except (OSError, ValueError) as error:
        if not task.update:
            return TaskResult(**common, status="broken", result=result, problem=f"{file}: {error}")
        expected = None
    if expected is None:
        lines = [f"{file.name}: missing; write it with pyfw replay --update"]
    else:
        lines = differences(expected, got)
    if task.update:
        # Written even if nothing differs, as the format may have changed.
        text = encode(got)
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
            lines = lines if expected is not None else [f"{file.name}: new"]
            return TaskResult(**common, status="updated", result=result, differences=tuple(lines))
        return TaskResult(**common, status="passed", result=result)
    if not lines:
        return TaskResult(**common, status="passed", result=result)
    is_corrupt = result["error"] is not None and (expected or got)["error"] != result["error"]
    return TaskResult(
        **common,
        status="broken" if is_corrupt else "failed",
        result=result,
        differences=(*lines, *failures),
        problem=_corrupt(result) if is_corrupt else "",
    )


def _corrupt(result: dict[str, Any]) -> str:
    error, packets = result["error"], result["packets"]
    text = f"corrupt capture at byte {error['offset']}: {error['text']}"
    return f"{text}; the {packets} packets before it were replayed" if packets else text


def _error_text(error: Exception, case: Case) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename or case.capture}"
    return str(error)
