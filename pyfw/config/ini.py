"""Splits a wg-quick file into sections and entries, in the order written.

configparser is no option: it merges repeated sections and keys, lowers keys, and drops line numbers.
"""

import msgspec

from pyfw.config.problem import Problem


class Entry(msgspec.Struct, frozen=True):
    """One `key = value`."""

    line: int
    key: str
    value: str
    """Without the comment."""
    raw: str
    """Everything after the first `=`: hooks are shell commands, which may contain `#`."""

    def __repr__(self) -> str:
        return f"Entry(line={self.line}, key={self.key!r})"  # the value may be a secret


class Section(msgspec.Struct, frozen=True):
    """One `[name]` and the entries below it."""

    line: int
    name: str
    entries: list[Entry]


def parse(text: str, file: str) -> tuple[list[Section], list[Problem]]:
    """Splits a file into sections. A line that is neither section, entry nor comment is a problem."""
    sections: list[Section] = []
    problems: list[Problem] = []
    # Not splitlines(): it also splits at form feeds and Unicode separators, which wg does not.
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.split("#", 1)[0].strip()
        if not stripped:
            continue
        if stripped.startswith("["):
            if stripped.endswith("]"):
                sections.append(Section(number, stripped[1:-1].strip(), []))
            else:
                problems.append(Problem(file, number, "", "a section ends with ]"))
            continue
        key, equals, value = stripped.partition("=")
        key = key.strip()
        if not equals or not key:
            message = "neither [Section], key = value nor # comment"
            problems.append(Problem(file, number, "", message))
        elif not sections:
            message = "comes before the first section; write [Interface] above"
            problems.append(Problem(file, number, key, message))
        else:
            raw = line.partition("=")[2].strip()
            sections[-1].entries.append(Entry(number, key, value.strip(), raw))
    return sections, problems
