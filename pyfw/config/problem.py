"""What is wrong in a file, as data: where, which key, what would be right. One error carries them all."""

import difflib
from collections.abc import Collection, Iterable, Sequence

import msgspec


class Problem(msgspec.Struct, frozen=True):
    """One thing to correct (or to know, as a warning)."""

    file: str
    line: int
    """1-based; 0 where no line can be named."""
    key: str
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        told = f"{place}: {self.key}: {self.text}" if self.key else f"{place}: {self.text}"
        # One line, and nothing that a terminal would obey, whatever a file contains.
        return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in told)


class ConfigError(ValueError):
    """Everything that is wrong in a configuration; nothing of it was applied."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: Sequence[Problem] = tuple(sorted(problems, key=lambda p: (p.file, p.line)))
        super().__init__("\n".join(map(str, self.problems)))


def meant(key: str, known: Iterable[str]) -> str | None:
    """The known key that was most likely meant."""
    by_fold = {name.casefold(): name for name in known}
    folded = key.casefold()
    # The right word in the wrong table is nearer than any other word.
    last = folded.rpartition(".")[2]
    near = [name for name in by_fold if name.rpartition(".")[2] == last]
    near = near or difflib.get_close_matches(folded, by_fold, n=1, cutoff=0.5)
    return by_fold[near[0]] if near else None


def unknown_key(key: str, known: Collection[str], where: str) -> str:
    """Says that a key is unknown and names the nearest known one."""
    return f"no such key in {where}{nearest(key, known)}"


def nearest(name: str, known: Collection[str]) -> str:
    """How a sentence about an unknown name ends: with the nearest known one, or with all there are."""
    if near := meant(name, known):
        return f"; did you mean {near}?"
    return f"; known are {', '.join(sorted(known)) or 'none'}"
