"""Runs code of a stage's author while stages are loaded, started and replaced.

An exception becomes a StageLoadError that names the line of the stage's source. A child process that the code
forks ends when it returns here: it must not act as a second daemon.
"""

import inspect
import os
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from pyfw.config.problem import Problem

_EXIT_SOFTWARE = 70  # EX_SOFTWARE of sysexits.h

_T = TypeVar("_T")


class StageLoadError(Exception):
    """A stage cannot be loaded or started; `problems` says why."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*map(str, problems))
        self.problems = problems


def guarded(action: str, location: tuple[str, int], call: Callable[..., _T], *args: Any) -> _T:
    """Calls a stage's code. Raises StageLoadError, at the line of its file that raised.

    action: what fails if it raises, such as "Mine cannot be created". location: the stage's file, and the
    line to name if no line of the file raised.
    """
    try:
        return in_parent(call, *args)
    except StageLoadError:
        raise
    except SyntaxError as error:
        text = f"{action}: {type(error).__name__}: {error.msg}"
        raise StageLoadError(
            Problem(error.filename or location[0], error.lineno or 0, "", text)
        ) from None
    except BaseException as error:  # including SystemExit and KeyboardInterrupt
        text = f"{action}: {_message(error)}"
        raise StageLoadError(Problem(*_raised_at(error, location), "", text)) from None


def in_parent(call: Callable[..., _T], *args: Any) -> _T:
    """Calls a stage's code. Ends a child process that it forks, once the child returns or raises."""
    pid = os.getpid()
    try:
        return call(*args)
    finally:
        if os.getpid() != pid:
            os._exit(_EXIT_SOFTWARE)


def source_location(value: Any) -> tuple[str, int]:
    """File and line of a class or function; ("", 0) if there is no file, line 0 if the file has changed."""
    try:
        file = inspect.getsourcefile(value) or ""
    except (OSError, TypeError):
        return "", 0
    try:
        return file, inspect.getsourcelines(value)[1]
    except (OSError, TypeError, SyntaxError):
        return file, 0


def _raised_at(error: BaseException, location: tuple[str, int]) -> tuple[str, int]:
    frames = traceback.extract_tb(error.__traceback__)[1:]  # without `guarded` itself
    # The file of a module that an import hook found is unknown; then the innermost frame is named.
    own = [frame for frame in frames if frame.filename == location[0] or not location[0]]
    return (own[-1].filename, own[-1].lineno or 0) if own else location


def _message(error: BaseException) -> str:
    kind = type(error).__name__
    try:
        first, *_ = str(error).splitlines() or [""]
    except BaseException:  # __str__ of a stage's own exception may raise as well
        return kind
    return f"{kind}: {first}" if first else kind
