"""Reads a TOML document strictly: every value through a check, every fault a problem with file, line, key."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from pyfw.config import toml_text
from pyfw.config.problem import Problem, unknown_key

Check = Callable[[Any], Any]
"""Takes a value as TOML gave it, returns what is kept, or raises ValueError that says what would be right."""

_INDEX = re.compile(r"\[\d+\]")


class Reader:
    """One document and what is wrong with it.

    kind: what a key that is unknown at the top is said to be unknown in.
    expected: says of a dotted key what may be written, where what stands there is no TOML.
    """

    def __init__(
        self, text: str, file: str, kind: str, expected: Callable[[str], str] | None = None
    ) -> None:
        self.file = file
        self._kind = kind
        parsed, self.problems = toml_text.parse(text, file, expected)
        self.document = parsed.values
        self._lines = parsed.lines

    def fault(self, key: str, text: str) -> None:
        """Notes a fault of a dotted key."""
        self.problems.append(Problem(self.file, self.line(key), key, text))

    def table(self, value: Any, key: str, checks: Mapping[str, Check]) -> dict[str, Any]:
        """The values of a table that are right; the others become problems."""
        if not isinstance(value, dict):
            header = f"[{key}]" if not key.endswith("]") else f"[[{re.sub(_INDEX, '', key)}]]"
            self.fault(key, f"is a table; write {header}")
            return {}
        kept: dict[str, Any] = {}
        for name, item in value.items():
            dotted = f"{key}.{name}" if key else name
            if name not in checks:
                header = re.sub(_INDEX, "", key)
                self.fault(dotted, unknown_key(name, checks, f"[{header}]" if key else self._kind))
                continue
            try:
                kept[name] = checks[name](item)
            except ValueError as error:
                self.fault(dotted, str(error))
        return kept

    def tables(self, value: Any, key: str, checks: Mapping[str, Check]) -> list[dict[str, Any]]:
        """The same for an array of tables; one dict a table."""
        if not isinstance(value, list):
            self.fault(key, f"is a list of tables; write [[{key}]]")
            return []
        return [self.table(item, f"{key}[{i}]", checks) for i, item in enumerate(value)]

    def line(self, key: str) -> int:
        """Where a dotted key stands, or what is written of the tables around it; 0: nowhere."""
        return line_of(self._lines, key)

    def lines_below(self, key: str) -> dict[str, int]:
        """The lines of all that is written below a dotted key, by what follows it; "" is the key's own."""
        below = {
            at.removeprefix(f"{key}."): line
            for at, line in self._lines.items()
            if at.startswith(f"{key}.")
        }
        return {"": self.line(key), **below}


def line_of(lines: Mapping[str, int], key: str) -> int:
    """The line of a dotted key, or of the nearest around it that has one; "" is around all. 0: none."""
    while key not in lines:
        if not key:
            return 0
        key = key.rpartition("[" if key.endswith("]") else ".")[0]
    return lines[key]


def text(value: Any) -> str:
    """Words."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("is not text; write it in quotes")
    return value.strip()


def switch(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError("is a switch; write true or false")
    return value


def choice(*names: str) -> Check:
    """One of some names."""

    def check(value: Any) -> str:
        if value not in names:
            raise ValueError(f"is not valid; write {' or '.join(quoted(name) for name in names)}")
        return str(value)

    return check


def whole(low: int, high: int) -> Check:
    """A whole number between two, both included."""

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"is not a whole number from {low} to {high}")
        return value

    return check


def number(low: float, high: float) -> Check:
    """A number between two, both included."""

    def check(value: Any) -> float:
        right = isinstance(value, int | float) and not isinstance(value, bool)
        if not right or not math.isfinite(value) or not low <= value <= high:
            raise ValueError(f"is not a number from {low:g} to {high:g}")
        return float(value)

    return check


def quoted(name: str) -> str:
    """As TOML writes it."""
    return f'"{name}"'
