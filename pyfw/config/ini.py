"""The lines of a wg-quick file: text in, sections with their entries out, in the order written.

Repeated sections and keys stay (configparser would lose them), keys keep their spelling, and every
entry knows its line. What is no section, entry, comment or blank line comes out as a problem.
"""

import msgspec

from pyfw.config.problem import Problem


class Entry(msgspec.Struct, frozen=True):
    """One `key = value`."""

    line: int
    key: str
    value: str
    """Without its comment."""
    raw: str
    """With everything after the first `=`: hooks are shell, where `#` may be meant."""

    def __repr__(self) -> str:
        return f"Entry(line={self.line}, key={self.key!r})"  # the value may be a key


class Section(msgspec.Struct, frozen=True):
    """One `[name]` and what follows it."""

    line: int
    name: str
    entries: list[Entry]


def parse(text: str, file: str) -> tuple[list[Section], list[Problem]]:
    """Splits a file into sections."""
    sections: list[Section] = []
    problems: list[Problem] = []
    # Not splitlines(): that also splits at form feeds and Unicode separators, which wg does not.
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
            problems.append(
                Problem(file, number, "", "neither [Section], key = value nor # comment")
            )
        elif not sections:
            problems.append(
                Problem(
                    file, number, key, "comes before the first section; write [Interface] above"
                )
            )
        else:
            raw = line.partition("=")[2].strip()
            sections[-1].entries.append(Entry(number, key, value.strip(), raw))
    return sections, problems
