"""From `use` to a class: a file, a module or an entry point is imported, and its own faults are told.

In: a stage as it was asked for. Out: a subclass of Stage, or StageLoadError with problems that name the
line, or the line of the stage's source. Whatever runs here, no exception of a stage gets past `guarded`.
"""

import hashlib
import importlib
import importlib.metadata
import inspect
import linecache
import os
import sys
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pyfw.config.problem import Problem, suggestion
from pyfw.config.stages import USE, StageConfig
from pyfw.stage import Stage

ENTRY_POINTS = "pyfw.stages"
"""The group in which a package offers stages: name = "module:Class"."""

Modules = dict[Path, types.ModuleType]
"""Files that were executed in one go: two stages of one file share its globals."""

_EXIT_SOFTWARE = 70  # EX_SOFTWARE of sysexits.h

_T = TypeVar("_T")


class StageLoadError(Exception):
    """A stage cannot be had."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*map(str, problems))
        self.problems = problems


def load(config: StageConfig, base: Path, modules: Modules) -> type[Stage]:
    """The class that `use` names; paths are relative to `base`. Raises StageLoadError."""
    parts = USE.fullmatch(config.use)
    if parts is None:
        raise StageLoadError(config.location.problem("use", f'"{config.use}" names no stage'))
    if parts["entry_point"]:
        value = _entry_point(config)
    else:
        source, name = parts["source"], parts["cls"]
        if source.endswith(".py") or "/" in source:
            module = _file(config, base / source, modules)
        else:
            module = _module(config, source)
        if name not in vars(module):
            near = suggestion(name, _stages_in(module))
            raise StageLoadError(config.location.problem("use", f"{source} has no {name}{near}"))
        value = vars(module)[name]
    if not (isinstance(value, type) and issubclass(value, Stage)):
        text = f"{config.use} is no stage; write a subclass of pyfw.Stage"
        file, line = source_of(value)
        raise StageLoadError(
            Problem(file, line, "", text) if file else config.location.problem("use", text)
        )
    return value


def guarded(what: str, where: tuple[str, int], call: Callable[..., _T], *given: Any) -> _T:
    """Calls what belongs to a stage; whatever it raises becomes StageLoadError, at the line in its file that did it.

    where: that file, and the line to name where no line of the file did it.
    """
    try:
        return in_one_process(call, *given)
    except StageLoadError:
        raise
    except SyntaxError as error:
        text = f"{what}: {type(error).__name__}: {error.msg}"
        raise StageLoadError(
            Problem(error.filename or where[0], error.lineno or 0, "", text)
        ) from None
    except BaseException as error:  # also SystemExit and KeyboardInterrupt: no import ends a daemon
        text = f"{what}: {_words(error)}"
        raise StageLoadError(Problem(*_raised_at(error, where), "", text)) from None


def in_one_process(call: Callable[..., _T], *given: Any) -> _T:
    """Calls what belongs to a stage; a child that it forked ends where it comes back: it is no daemon."""
    process = os.getpid()
    try:
        return call(*given)
    finally:
        if os.getpid() != process:
            os._exit(_EXIT_SOFTWARE)


def source_of(value: Any) -> tuple[str, int]:
    """File and line of a class or function; "" where there is none, line 0 where it is not in there now."""
    try:
        file = inspect.getsourcefile(value) or ""
    except (OSError, TypeError):
        return "", 0
    try:
        return file, inspect.getsourcelines(value)[1]
    except (OSError, TypeError, SyntaxError):  # the file may have become anything since
        return file, 0


def _file(config: StageConfig, path: Path, modules: Modules) -> types.ModuleType:
    resolved = path.resolve()
    if resolved in modules:
        return modules[resolved]
    if not path.is_file():
        raise StageLoadError(config.location.problem("use", f"there is no such file: {path}"))
    try:
        text = path.read_bytes()
    except OSError as error:
        raise StageLoadError(config.location.problem("use", f"{path}: {error.strerror}")) from None
    # typing and pickle ask sys.modules: there the newest execution of a file has one name of our own.
    digest = hashlib.sha256(str(resolved).encode()).hexdigest()[:12]
    name = f"_pyfw_stage_{digest}_{path.stem}"
    module = types.ModuleType(name)
    module.__file__ = str(path)
    linecache.checkcache(str(path))
    before = sys.modules.get(name)
    sys.modules[name] = module

    def execute() -> None:
        # Compiled here: a .pyc of the same second and size would hide a change.
        exec(compile(text, str(path), "exec", dont_inherit=True), module.__dict__)

    try:
        guarded(f"{path.name} cannot be imported", (str(path), 0), execute)
    except StageLoadError:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before
        raise
    modules[resolved] = module
    return module


def _module(config: StageConfig, name: str) -> types.ModuleType:
    def imported() -> types.ModuleType:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise  # one that it imports
            text = f"there is no module {error.name}; a file is written as path/to/file.py:Class"
            raise StageLoadError(config.location.problem("use", text)) from None

    if not all(part.isidentifier() for part in name.split(".")):
        raise StageLoadError(
            config.location.problem("use", f'"{name}" is neither a module nor a .py file')
        )
    return guarded(f"{name} cannot be imported", (_origin(name), 0), imported)


def _entry_point(config: StageConfig) -> Any:
    installed = importlib.metadata.entry_points(group=ENTRY_POINTS)
    matching = {point.value: point for point in installed.select(name=config.use)}
    if not matching:
        text = f"no installed package offers a stage {config.use}{suggestion(config.use, installed.names)}"
        raise StageLoadError(config.location.problem("use", text))
    if len(matching) > 1:
        text = f"is offered as {' and as '.join(sorted(matching))}; write which of them"
        raise StageLoadError(config.location.problem("use", text))
    (point,) = matching.values()
    return guarded(f"{config.use} cannot be imported", (_origin(point.module), 0), point.load)


def _stages_in(module: types.ModuleType) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Stage) and value is not Stage
    ]


def _origin(name: str) -> str:
    # Where a module lies, without importing the packages above it as find_spec would.
    for folder in sys.path:
        path = Path(folder, *name.split("."))
        for candidate in (path.with_suffix(".py"), path / "__init__.py"):
            if candidate.is_file():
                return str(candidate)
    return ""


def _raised_at(error: BaseException, where: tuple[str, int]) -> tuple[str, int]:
    frames = traceback.extract_tb(error.__traceback__)[1:]  # less `guarded` itself
    # A module that an import hook found has no known file: then whatever failed last is named.
    own = [frame for frame in frames if frame.filename == where[0] or not where[0]]
    return (own[-1].filename, own[-1].lineno or 0) if own else where


def _words(error: BaseException) -> str:
    kind = type(error).__name__
    try:
        first, *_ = str(error).splitlines() or [""]
    except BaseException:  # a stage's own exception, whose __str__ fails in turn
        return kind
    return f"{kind}: {first}" if first else kind
