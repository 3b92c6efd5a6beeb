"""Pytest plugin: collects each *.replay.toml as a test.

Installed as the entry point "pyfw-replay", it is imported in every pytest run where pyfw is installed, so it
imports nothing else of pyfw until a case runs.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pyfw.replay.runner import TaskResult


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds --replay-update."""
    group = parser.getgroup("pyfw-replay", "pyfw replay")
    group.addoption(
        "--replay-update",
        action="store_true",
        default=False,
        help="Rewrite the expected.json of *.replay.toml cases (refused if CI is set).",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuses --replay-update in continuous integration, where updates are not reviewed."""
    if config.getoption("--replay-update"):
        from pyfw.replay.runner import in_ci

        if in_ci():
            raise pytest.UsageError("--replay-update: refused because CI is set")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "CaseFile | None":
    """Collects *.replay.toml files."""
    if file_path.name.endswith(".replay.toml"):
        return CaseFile.from_parent(parent, path=file_path)
    return None


class CaseFile(pytest.File):
    """One case description."""

    def collect(self) -> "list[CaseItem]":
        """Returns one test; an invalid file fails when the test runs, not the collection."""
        stem = self.path.name.removesuffix(".replay.toml")
        name = self.path.parent.name if stem == "case" else stem
        return [CaseItem.from_parent(self, name=name)]


class CaseItem(pytest.Item):
    """One case under its own rule."""

    def runtest(self) -> None:
        """Replays the case and compares the result."""
        from pyfw.replay.collect import collect_file
        from pyfw.replay.runner import Task, run

        update = bool(self.config.getoption("--replay-update"))
        collected = collect_file(self.path)
        case = collected.case
        result = run(
            Task(
                name=collected.name,
                case=case,
                rule=case.rule if case is not None else "",
                compare=True,
                update=update,
                problem=collected.problem,
            )
        )
        if result.status == "updated":
            self.add_report_section("call", "replay", "\n".join(result.differences))
        if result.status in ("failed", "broken"):
            raise CaseFailure(result)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Returns the differences, without a traceback."""
        if isinstance(excinfo.value, CaseFailure):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Returns the location of the case."""
        return self.path, None, self.name


class CaseFailure(Exception):
    """A case that failed or is broken."""

    def __init__(self, result: "TaskResult") -> None:
        lines = [result.problem] if result.problem else []
        place = f"{result.name}: "
        super().__init__("\n".join(f"{place}{line}" for line in [*lines, *result.differences]))
