"""Parses TOML with the line of each key, which tomllib does not report."""

import re
import tomllib
from typing import Any

import msgspec

from pyfw.config.problem import Problem

_HEADER = re.compile(r"\s*(\[{1,2})\s*([^\[\]#]*?)\s*\]{1,2}\s*(?:#.*)?$")
_PART = r"""(?:[\w-]+|"[^"]*"|'[^']*')"""
_KEY = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=")
_POSITION = re.compile(r" \(at line (\d+), column (\d+)\)$")


class Document(msgspec.Struct, frozen=True):
    """The content of a file."""

    values: dict[str, Any]
    lines: dict[str, int]
    """By dotted key; `stages[0].name` is in the first `[[stages]]`."""


def parse(text: str, file: str) -> tuple[Document, list[Problem]]:
    """Parses a file. After a syntax error, which is the only problem then, the document is empty."""
    try:
        return Document(tomllib.loads(text), _lines(text.split("\n"))), []
    except RecursionError:
        problem = Problem(file, 0, "", "not TOML: nested too deeply")
    except ValueError as error:  # of tomllib, or of an integer with too many digits
        problem = _syntax_error(str(error), text, file)
    return Document({}, {}), [problem]


def _syntax_error(message: str, text: str, file: str) -> Problem:
    message = f"not TOML: {message[:1].lower()}{message[1:]}"
    if position := _POSITION.search(message):
        line, column = position.groups()
        return Problem(file, int(line), "", f"{message[: position.start()]} (column {column})")
    at_end = "(at end of document)" in message
    return Problem(file, text.rstrip().count("\n") + 1 if at_end else 0, "", message)


def _lines(lines: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for number, key in enumerate(_keys(lines), 1):
        # A key also sets the line of its tables, and of the array that a table is in.
        while key:
            found.setdefault(key, number)
            key = key.rpartition("[" if key.endswith("]") else ".")[0]
    return found


def _keys(lines: list[str]) -> list[str]:
    """Returns the dotted key that each line defines; "" if it defines none."""
    keys: list[str] = []
    table = ""
    last_index: dict[str, int] = {}

    def with_indices(header: str) -> str:
        # [stages.options] belongs to the latest [[stages]].
        path = ""
        for part in header.split("."):
            path = f"{path}.{part}" if path else part
            if path in last_index:
                path += f"[{last_index[path]}]"
        return path

    for line in lines:
        if header := _HEADER.match(line):
            name = _unquoted(header[2])
            if header[1] == "[[":
                outer, _, last = name.rpartition(".")
                array = f"{with_indices(outer)}.{last}" if outer else last
                last_index[array] = last_index.get(array, -1) + 1
            table = with_indices(name)
            keys.append(table)
        elif key := _KEY.match(line):
            keys.append(f"{table}.{_unquoted(key[1])}" if table else _unquoted(key[1]))
        else:
            keys.append("")
    return keys


def _unquoted(key: str) -> str:
    return re.sub(r"[\s\"']", "", key)
