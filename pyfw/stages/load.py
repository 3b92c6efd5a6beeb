"""Loads configured stages: imports each class, converts its options, creates and validates the stage.

A file is executed again at each load, so that a reload sees its changes. A module, or what an entry point
names, is imported once per process, as usual in Python.
"""

import hashlib
import importlib
import importlib.metadata
import linecache
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pyfw.config.problem import ConfigError, Problem, suggestion
from pyfw.config.stages import NAME, USE, StageConfig
from pyfw.stage import Stage
from pyfw.stages.guard import StageLoadError, guarded, source_location
from pyfw.stages.validate import check_attributes, convert_options

ENTRY_POINTS = "pyfw.stages"
"""The entry point group in which packages offer stages: name = "module:Class"."""

_Modules = dict[Path, types.ModuleType]
"""Files executed in one load: two stages from one file share its globals."""


def load_stages(configs: Sequence[StageConfig], base: Path | None = None) -> list[Stage]:
    """Creates the configured stages, in order. Raises ConfigError with all problems at once.

    base: the folder that paths are relative to; None: that of the file with the table.
    """
    problems: list[Problem] = []
    loaded: list[tuple[StageConfig, Stage]] = []
    modules: _Modules = {}
    for config in configs:
        try:
            folder = config.location.folder if base is None else base
            stage = _create(_import_class(config, folder, modules), config, folder)
        except StageLoadError as error:
            problems += error.problems
            continue
        problems += check_attributes(stage, config)
        loaded.append((config, stage))
    problems += _check_names(loaded)
    if problems:
        raise ConfigError(problems)
    return [stage for _, stage in loaded]


def _import_class(config: StageConfig, base: Path, modules: _Modules) -> type[Stage]:
    """Imports the class that `use` names."""
    parts = USE.fullmatch(config.use)
    if parts is None:
        raise StageLoadError(
            config.location.problem("use", f'"{config.use}" does not name a stage')
        )
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
        text = f"{config.use} is not a stage; write a subclass of pyfw.Stage"
        file, line = source_location(value)
        raise StageLoadError(
            Problem(file, line, "", text) if file else config.location.problem("use", text)
        )
    return value


def _file(config: StageConfig, path: Path, modules: _Modules) -> types.ModuleType:
    resolved = path.resolve()
    if resolved in modules:
        return modules[resolved]
    if not path.is_file():
        raise StageLoadError(config.location.problem("use", f"there is no such file: {path}"))
    try:
        text = path.read_bytes()
    except OSError as error:
        raise StageLoadError(config.location.problem("use", f"{path}: {error.strerror}")) from None
    # typing and pickle look modules up in sys.modules: the latest execution of a file is there, under a name
    # that no import uses.
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
                raise  # another module, which it imports, is missing
            text = f"there is no module {error.name}; write a file as path/to/file.py:Class"
            raise StageLoadError(config.location.problem("use", text)) from None

    if not all(part.isidentifier() for part in name.split(".")):
        raise StageLoadError(
            config.location.problem("use", f'"{name}" is neither a module nor a .py file')
        )
    return guarded(f"{name} cannot be imported", (_module_file(name), 0), imported)


def _entry_point(config: StageConfig) -> Any:
    installed = importlib.metadata.entry_points(group=ENTRY_POINTS)
    matching = {point.value: point for point in installed.select(name=config.use)}
    if not matching:
        text = f"no installed package offers a stage {config.use}{suggestion(config.use, installed.names)}"
        raise StageLoadError(config.location.problem("use", text))
    if len(matching) > 1:
        text = f"several packages offer this stage; write one of {', '.join(sorted(matching))}"
        raise StageLoadError(config.location.problem("use", text))
    (point,) = matching.values()
    return guarded(f"{config.use} cannot be imported", (_module_file(point.module), 0), point.load)


def _stages_in(module: types.ModuleType) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Stage) and value is not Stage
    ]


def _module_file(name: str) -> str:
    """The file of a module, found without importing its parent packages as find_spec would; "" if unknown."""
    for folder in sys.path:
        path = Path(folder, *name.split("."))
        for candidate in (path.with_suffix(".py"), path / "__init__.py"):
            if candidate.is_file():
                return str(candidate)
    return ""


def _create(cls: type[Stage], config: StageConfig, base: Path) -> Stage:
    options = convert_options(cls, config, base)
    location = source_location(cls)
    stage = guarded(f"{cls.__name__} cannot be created", location, cls, options)
    if not hasattr(stage, "_slot"):
        text = f"{cls.__name__}.__init__ does not call super().__init__(options)"
        raise StageLoadError(Problem(*location, "", text))
    # A key of the table overrides the attribute of the class.
    for key in ("name", "direction", "peers", "filter", "on_error"):
        if getattr(config, key) is not None:
            setattr(stage, key, getattr(config, key))
    return stage


def _check_names(loaded: Sequence[tuple[StageConfig, Stage]]) -> list[Problem]:
    problems: list[Problem] = []
    taken: set[str] = set()
    for config, stage in loaded:
        if stage.name in taken:
            text = f"an earlier stage is also called {stage.name}; give this one another name"
            problems.append(config.location.problem("name", text))
        elif not NAME.fullmatch(stage.name):
            text = f'"{stage.name}" is not a valid stage name; write letters, digits, _ and -'
            problems.append(config.location.problem("name", text))
        taken.add(stage.name)
    return problems
