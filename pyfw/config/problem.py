"""Errors in configuration files, with file, line and key. One exception carries all of them."""

import difflib
from collections.abc import Collection, Iterable, Sequence

import msgspec


class Problem(msgspec.Struct, frozen=True):
    """An error or a warning about one place in a file."""

    file: str
    line: int
    """1-based; 0 if no line can be named."""
    key: str
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        message = f"{place}: {self.key}: {self.text}" if self.key else f"{place}: {self.text}"
        # Files may contain terminal control sequences; a message is one printable line.
        return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in message)


class ConfigError(ValueError):
    """All errors of a configuration, none of which was applied."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: Sequence[Problem] = tuple(sorted(problems, key=lambda p: (p.file, p.line)))
        super().__init__("\n".join(map(str, self.problems)))


def closest_key(key: str, known: Iterable[str]) -> str | None:
    """Returns the known key that was most likely meant, or None."""
    by_fold = {name.casefold(): name for name in known}
    folded = key.casefold()
    # The right key in the wrong table is a better guess than any similar one.
    last = folded.rpartition(".")[2]
    close = [name for name in by_fold if name.rpartition(".")[2] == last]
    close = close or difflib.get_close_matches(folded, by_fold, n=1, cutoff=0.5)
    return by_fold[close[0]] if close else None


def unknown_key(key: str, known: Collection[str], where: str) -> str:
    """Returns the message for an unknown key."""
    return f"no such key in {where}{suggestion(key, known)}"


def suggestion(name: str, known: Collection[str]) -> str:
    """Returns the end of a message about an unknown name: the closest known name, or all of them."""
    if close := closest_key(name, known):
        return f"; did you mean {close}?"
    return f"; known are {', '.join(sorted(known)) or 'none'}"
