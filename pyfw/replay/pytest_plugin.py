"""Collects *.replay.toml wherever pytest looks, one test a case, and nothing else.

Installed as the entry point "pyfw-replay": it is imported in every pytest run of everyone who has pyfw,
so it loads nothing of pyfw until a case runs. `--replay-update` rewrites what is expected.
"""

from pathlib import Path
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """--replay-update."""
    group = parser.getgroup("pyfw-replay", "pyfw: captures as test cases")
    group.addoption(
        "--replay-update",
        action="store_true",
        default=False,
        help="Rewrite the expected outcome of *.replay.toml cases (refused where CI is set).",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuses to rewrite expectations where nobody reviews them."""
    if config.getoption("--replay-update"):
        from pyfw.replay.runner import in_ci

        if in_ci():
            raise pytest.UsageError("--replay-update: refused, CI is set")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "CaseFile | None":
    """Every *.replay.toml."""
    if file_path.name.endswith(".replay.toml"):
        return CaseFile.from_parent(parent, path=file_path)
    return None


class CaseFile(pytest.File):
    """One case description."""

    def collect(self) -> "list[CaseItem]":
        """One test; a file that is wrong fails when it runs, beside the others."""
        stem = self.path.name.removesuffix(".replay.toml")
        name = self.path.parent.name if stem == "case" else stem
        return [CaseItem.from_parent(self, name=name)]


class CaseItem(pytest.Item):
    """One case under its own rule."""

    def runtest(self) -> None:
        """Replays and compares."""
        from pyfw.replay.find import case_at
        from pyfw.replay.runner import Task, run

        update = bool(self.config.getoption("--replay-update"))
        found = case_at(self.path)
        case = found.case
        judged = run(
            Task(
                name=found.name,
                case=case,
                rule=case.rule if case is not None else "",
                judge=True,
                update=update,
                problem=found.problem,
            )
        )
        if judged.status == "updated":
            self.add_report_section("call", "replay", "\n".join(judged.differences))
        if judged.status in ("failed", "broken"):
            raise Differs(judged)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What differs, line by line; no traceback of ours."""
        if isinstance(excinfo.value, Differs):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where it is written."""
        return self.path, None, self.name


class Differs(Exception):
    """A case did not come out as expected."""

    def __init__(self, judged: Any) -> None:
        lines = [judged.problem] if judged.problem else []
        place = f"{judged.name}: "
        super().__init__("\n".join(f"{place}{line}" for line in [*lines, *judged.differences]))
