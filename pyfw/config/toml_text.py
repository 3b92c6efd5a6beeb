"""The text of NAME.pyfw.toml: text in; values, and the line of each key, out; or all that is no TOML.

tomllib ends at the first error and names no key. Here a line that is wrong is told, taken out, and the rest
is read on, as long as it is known where the next statement begins: a value that spans lines and is broken
ends the reading, for what follows would be guessed.
"""

import re
import tomllib
from collections.abc import Callable
from typing import Any

import msgspec

from pyfw.config.problem import Problem

_HEADER = re.compile(r"\s*(\[{1,2})\s*([^\[\]#]*?)\s*\]{0,2}\s*(?:#.*)?$")
_PART = r"""(?:[\w-]+|"[^"]*"|'[^']*')"""
_KEY = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*(=?)\s*(.*)$")
_DIGITS_MAX = 4300  # sys.int_info.default_max_str_digits
# Reading on costs two more passes an error.
_ERRORS_MAX = 20
_READ_ON_BYTES_MAX = 64 << 10


class Document(msgspec.Struct, frozen=True):
    """What a file says, and where it says so."""

    values: dict[str, Any]
    lines: dict[str, int]
    """Of dotted keys; `stages[0].name` is in the first `[[stages]]`."""


def parse(
    text: str, file: str, expected: Callable[[str], str] | None = None
) -> tuple[Document, list[Problem]]:
    """Reads a file. `expected` says what may be written for a dotted key, or that there is none such."""
    left = text.split("\n")
    keys = _keys(left)
    problems: list[Problem] = []
    while True:
        try:
            values = tomllib.loads("\n".join(left))
            break
        except RecursionError:
            problems.append(Problem(file, 1, "", "not TOML: nested too deeply"))
            values = {}
            break
        except ValueError as error:  # of tomllib, or of a number with too many digits
            at = _line(str(error), left)
            begins_here = _is_whole(left[: at - 1])
            words = re.sub(r" \(at .*", "", str(error))
            words = f"not TOML: {words[:1].lower()}{words[1:]}"
            if begins_here:
                words = _wrong(left, keys, at, words, expected)
            problems.append(Problem(file, at, keys[at - 1] if begins_here else "", words))
            if not begins_here or len(problems) == _ERRORS_MAX or len(text) > _READ_ON_BYTES_MAX:
                values = {}
                break
            _take_out(left, at)
    return Document(values, _lines(left)), problems


def _line(error: str, left: list[str]) -> int:
    if found := re.search(r"at line (\d+)", error):
        return min(int(found[1]), len(left))
    # A number with more digits than Python takes has no place in the error.
    if long := next((n for n, line in enumerate(left, 1) if len(line) > _DIGITS_MAX), 0):
        return long
    # "at end of document": in its last line.
    return next((n for n in range(len(left), 0, -1) if left[n - 1].strip()), 1)


def _wrong(
    left: list[str], keys: list[str], at: int, words: str, expected: Callable[[str], str] | None
) -> str:
    key = keys[at - 1]
    first = keys.index(key) + 1 if key in keys[: at - 1] else 0
    if first and left[first - 1].strip():
        return f"given again; the first is at line {first}"
    entry = _KEY.match(left[at - 1])
    if not entry or _HEADER.match(left[at - 1]):
        return f"{words}; write [table], key = value or # comment"
    if not entry[2]:
        words = "not TOML: an = is missing"
    elif not entry[3] or entry[3].startswith("#"):
        words = "empty"
    return f"{words}; {expected(key) if expected else 'write a value'}"


def _is_whole(left: list[str]) -> bool:
    """Whether what comes before is complete, so that the line after it begins a statement."""
    try:
        tomllib.loads("\n".join(left))
    except (ValueError, RecursionError):
        return False
    return True


def _take_out(left: list[str], at: int) -> None:
    """Blanks a line; a table's header with all that stands in the table."""
    header = _HEADER.match(left[at - 1])
    left[at - 1] = ""
    if header:
        for following in range(at, len(left)):
            if _HEADER.match(left[following]):
                break
            left[following] = ""


def _keys(lines: list[str]) -> list[str]:
    """What each line is about, as a dotted key; "" for nothing."""
    found: list[str] = []
    table = ""
    elements: dict[str, int] = {}

    def place(header: str) -> str:
        # [stages.options] belongs to the latest [[stages]].
        path = ""
        for part in header.split("."):
            path = f"{path}.{part}" if path else part
            if path in elements:
                path += f"[{elements[path]}]"
        return path

    for line in lines:
        if header := _HEADER.match(line):
            outer, _, name = _bare(header[2]).rpartition(".")
            table = f"{place(outer)}.{name}" if outer else name
            if header[1] == "[[":
                elements[table] = elements.get(table, -1) + 1
            table = place(_bare(header[2]))
            found.append(table)
        elif key := _KEY.match(line):
            found.append(f"{table}.{_bare(key[1])}" if table else _bare(key[1]))
        else:
            found.append("")
    return found


def _lines(lines: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for number, key in enumerate(_keys(lines), 1):
        # Also for the tables that the key implies, and the array that a table is in.
        while key:
            found.setdefault(key, number)
            key = key.rpartition("[" if key.endswith("]") else ".")[0]
    return found


def _bare(key: str) -> str:
    return re.sub(r"[\s\"']", "", key)
