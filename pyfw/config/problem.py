"""What is wrong in a file, as data: where, which key, what would be right. One error carries them all."""

import difflib
from collections.abc import Iterable, Sequence

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
        return f"{place}: {self.key}: {self.text}" if self.key else f"{place}: {self.text}"


class ConfigError(ValueError):
    """Everything that is wrong in a configuration; nothing of it was applied."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: Sequence[Problem] = tuple(sorted(problems, key=lambda p: (p.file, p.line)))
        super().__init__("\n".join(map(str, self.problems)))


def unknown_key(key: str, known: Iterable[str], where: str) -> str:
    """Says that a key is unknown and names the nearest known one."""
    return f"no such key in {where}{nearest(key, known)}"


def nearest(name: str, known: Iterable[str]) -> str:
    """How a sentence about an unknown name ends: with the nearest known one, or with all there are."""
    by_fold = {one.casefold(): one for one in known}
    near = difflib.get_close_matches(name.casefold(), by_fold, n=1, cutoff=0.5)
    if near:
        return f"; did you mean {by_fold[near[0]]}?"
    return f"; known are {', '.join(sorted(by_fold.values())) or 'none'}"
