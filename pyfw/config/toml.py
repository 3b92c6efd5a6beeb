"""Reads a TOML document strictly: every value passes a check, every error gets file, line and key."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from pyfw.config import toml_text
from pyfw.config.problem import Problem, unknown_key

Check = Callable[[Any], Any]
"""Takes a value from TOML and returns the value to store. Raises ValueError with what would be right."""

_INDEX = re.compile(r"\[\d+\]")


class Reader:
    """A document and the problems found in it.

    kind: the name of the document in messages about unknown keys at the top level.
    """

    def __init__(self, text: str, file: str, kind: str) -> None:
        self.file = file
        self._kind = kind
        parsed, self.problems = toml_text.parse(text, file)
        self.document = parsed.values
        self._lines = parsed.lines

    def add_problem(self, key: str, text: str) -> None:
        """Adds a problem with a dotted key."""
        self.problems.append(Problem(self.file, self.line(key), key, text))

    def table(self, value: Any, key: str, checks: Mapping[str, Check]) -> dict[str, Any]:
        """Returns the valid values of a table; the others become problems."""
        if not isinstance(value, dict):
            header = f"[{key}]" if not key.endswith("]") else f"[[{re.sub(_INDEX, '', key)}]]"
            self.add_problem(key, f"is a table; write {header}")
            return {}
        valid: dict[str, Any] = {}
        for name, item in value.items():
            dotted = f"{key}.{name}" if key else name
            if name not in checks:
                where = f"[{re.sub(_INDEX, '', key)}]" if key else self._kind
                self.add_problem(dotted, unknown_key(name, checks, where))
                continue
            try:
                valid[name] = checks[name](item)
            except ValueError as error:
                self.add_problem(dotted, str(error))
        return valid

    def tables(self, value: Any, key: str, checks: Mapping[str, Check]) -> list[dict[str, Any]]:
        """Does the same for each table of an array."""
        if not isinstance(value, list):
            self.add_problem(key, f"is a list of tables; write [[{key}]]")
            return []
        return [self.table(item, f"{key}[{i}]", checks) for i, item in enumerate(value)]

    def line(self, key: str) -> int:
        """Returns the line of a dotted key, or of the closest table around it; 0 if there is none."""
        return line_of(self._lines, key)

    def lines_below(self, key: str) -> dict[str, int]:
        """Returns the lines of all keys below a dotted key, without its prefix; "" is the key's own line."""
        below = {
            at.removeprefix(f"{key}."): line
            for at, line in self._lines.items()
            if at.startswith(f"{key}.")
        }
        return {"": self.line(key), **below}


def line_of(lines: Mapping[str, int], key: str) -> int:
    """Returns the line of a dotted key, or of the closest table around it ("" is the outermost); or 0."""
    while key not in lines:
        if not key:
            return 0
        key = key.rpartition("[" if key.endswith("]") else ".")[0]
    return lines[key]


def text(value: Any) -> str:
    """Checks for a string that is not blank, and strips it."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("is not text; write it in quotes")
    return value.strip()


def boolean(value: Any) -> bool:
    """Checks for true or false."""
    if not isinstance(value, bool):
        raise ValueError("is a switch; write true or false")
    return value


def choice(*names: str) -> Check:
    """Returns a check for one of some strings."""

    def check(value: Any) -> str:
        if value not in names:
            raise ValueError(f"is not valid; write {' or '.join(quoted(name) for name in names)}")
        return str(value)

    return check


def integer(low: int, high: int) -> Check:
    """Returns a check for an integer from `low` to `high`."""

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"is not a whole number from {low} to {high}")
        return value

    return check


def number(low: float, high: float) -> Check:
    """Returns a check for a finite number from `low` to `high`."""

    def check(value: Any) -> float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or not low <= value <= high:
            raise ValueError(f"is not a number from {low:g} to {high:g}")
        return float(value)

    return check


def quoted(name: str) -> str:
    """Returns a string as TOML writes it."""
    return f'"{name}"'
