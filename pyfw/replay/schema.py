"""Reads a TOML document strictly: every value through a check, every fault a problem with file, line, key."""

import math
import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

from pyfw.config import values
from pyfw.config.problem import Problem, unknown_key

Check = Callable[[Any], Any]
"""Takes a value as TOML gave it, returns what is kept, or raises ValueError that says what would be right."""


class Reader:
    """One document and what is wrong with it."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.document: dict[str, Any] = {}
        self._lines = _lines(text)
        try:
            self.document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            at = re.search(r"at line (\d+)", str(error))
            self.problems.append(Problem(file, int(at[1]) if at else 0, "", f"not TOML: {error}"))
        except RecursionError:
            self.problems.append(Problem(file, 0, "", "not TOML: nested too deeply"))

    def fault(self, key: str, text: str) -> None:
        """Notes a fault of a dotted key."""
        self.problems.append(Problem(self.file, self._line(key), key, text))

    def table(self, value: Any, key: str, checks: Mapping[str, Check]) -> dict[str, Any]:
        """The values of a table that are right; the others become problems."""
        if not isinstance(value, dict):
            self.fault(key, f"is a table; write [{key}]")
            return {}
        kept: dict[str, Any] = {}
        for name, item in value.items():
            dotted = f"{key}.{name}" if key else name
            if name not in checks:
                where = f"[{key.partition('[')[0]}]" if key else "a case"
                self.fault(dotted, unknown_key(name, checks, where))
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

    def _line(self, key: str) -> int:
        while key not in self._lines:
            key, dot, _ = key.rpartition(".")
            if not dot:
                return 0
        return self._lines[key]


def text(value: Any) -> str:
    """Words."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("is not text; write it in quotes")
    return value.strip()


def file_name(value: Any) -> str:
    """A file beside the case, or below or above it, but never an absolute path."""
    name = text(value)
    if name.startswith(("/", "~", "\\")) or "\0" in name:
        raise ValueError("is not a path relative to this file")
    return name


def switch(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError("is a switch; write true or false")
    return value


def choice(*names: str) -> Check:
    """One of some names."""

    def check(value: Any) -> str:
        if value not in names:
            raise ValueError(f"is not valid; write {' or '.join(repr_of(name) for name in names)}")
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


def endpoint(value: Any) -> str:
    """A numeric outer address and port."""
    written = values.endpoint(text(value))
    host = written.rpartition(":")[0]
    if not (host.startswith("[") or re.fullmatch(r"[0-9.]+", host)):
        raise ValueError(
            f"{repr_of(written)} is a name; a replay looks nothing up, write an address"
        )
    return written


def networks(value: Any) -> tuple[str, ...]:
    """Inner networks."""
    if not isinstance(value, list):
        raise ValueError('is a list of networks; write ["10.0.0.2/32"]')
    return tuple(values.network(text(item)) for item in value)


def repr_of(name: str) -> str:
    """As TOML writes it."""
    return f'"{name}"'


def _lines(text: str) -> dict[str, int]:
    """Where each dotted key stands; tomllib does not say. Good for bare keys, which ours all are."""
    found: dict[str, int] = {}
    arrays: dict[str, int] = {}
    prefix = ""
    for line_number, line in enumerate(text.split("\n"), 1):
        if header := re.match(r"\s*\[\[\s*([\w-]+)\s*\]\]", line):
            arrays[header[1]] = arrays.get(header[1], -1) + 1
            found.setdefault(header[1], line_number)
            prefix = f"{header[1]}[{arrays[header[1]]}]"
            found.setdefault(prefix, line_number)
            prefix += "."
        elif header := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
            prefix = header[1] + "."
            found.setdefault(header[1], line_number)
        elif key := re.match(r"\s*([\w-]+(?:\s*\.\s*[\w-]+)*)\s*=", line):
            found.setdefault(prefix + re.sub(r"\s", "", key[1]), line_number)
    return found
