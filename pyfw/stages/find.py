"""From `[[stages]]` to stages: each is looked for, imported, made with its options, and checked.

In: stages as they were asked for. Out: the stages, in the same order; or one ConfigError with all that is
wrong, in the operator's file or in a stage's source.

A file is executed anew each time, so that a reload sees what was changed in it. A module, and what an
entry point names, is imported once a process, as Python does.
"""

from collections.abc import Sequence
from pathlib import Path

from pyfw.config.problem import ConfigError, Problem
from pyfw.config.stages import NAME, StageConfig
from pyfw.stage import Stage
from pyfw.stages.load import Modules, StageLoadError, guarded, load, source_of
from pyfw.stages.validate import faults, options_of


def find(configs: Sequence[StageConfig], base: Path | None = None) -> list[Stage]:
    """Makes every stage that was asked for. Raises ConfigError; then none of them is to be used.

    base: what paths are relative to; None: the folder of the file that the table is in.
    What is written in a table stands on the stage afterwards, in place of its class's attribute.
    """
    problems: list[Problem] = []
    found: list[tuple[StageConfig, Stage]] = []
    modules: Modules = {}
    for config in configs:
        try:
            folder = config.location.folder if base is None else base
            stage = _make(load(config, folder, modules), config, folder)
        except StageLoadError as wrong:
            problems += wrong.problems
            continue
        problems += faults(stage, config)
        found.append((config, stage))
    problems += _name_faults(found)
    if problems:
        raise ConfigError(problems)
    return [stage for _, stage in found]


def _make(cls: type[Stage], config: StageConfig, base: Path) -> Stage:
    options = options_of(cls, config, base)
    where = source_of(cls)
    stage = guarded(f"{cls.__name__} cannot be made", where, cls, options)
    if not hasattr(stage, "_slot"):
        text = f"{cls.__name__}.__init__ does not call super().__init__(options)"
        raise StageLoadError(Problem(*where, "", text))
    for key in ("name", "direction", "peers", "filter", "on_error"):
        if getattr(config, key) is not None:
            setattr(stage, key, getattr(config, key))
    return stage


def _name_faults(found: Sequence[tuple[StageConfig, Stage]]) -> list[Problem]:
    problems: list[Problem] = []
    taken: set[str] = set()
    for config, stage in found:
        if stage.name in taken:
            text = f"an earlier stage is called {stage.name}, too; give this one a name of its own"
            problems.append(config.location.problem("name", text))
        elif not NAME.fullmatch(stage.name):
            text = f'"{stage.name}" is not a name for a stage; write letters, digits, _ and -'
            problems.append(config.location.problem("name", text))
        taken.add(stage.name)
    return problems
