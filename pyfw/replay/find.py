"""What is to be replayed: paths in, cases out. Folders are searched for *.replay.toml, in order of name."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from pyfw.config.problem import ConfigError
from pyfw.replay.case import SUFFIX, Case, load, name_of


class Found(msgspec.Struct, frozen=True):
    """A case, or why there is none where one was asked for."""

    name: str
    case: Case | None
    problem: str = ""


def find(paths: Iterable[str]) -> list[Found]:
    """Everything the paths name, each once. Raises FileNotFoundError where a path names nothing."""
    found: dict[str, Found] = {}
    for text in paths:
        path = Path(text)
        if text == "-":
            found.setdefault("-", Found("standard input", Case(name="standard input", capture="-")))
        elif path.is_dir():
            files = sorted(file for file in path.rglob(f"*{SUFFIX}") if file.is_file())
            if not files:
                raise FileNotFoundError(2, f"no *{SUFFIX} in this folder", text)
            for file in files:
                found.setdefault(str(file.resolve()), case_at(file))
        elif path.name.endswith(SUFFIX) and path.exists():
            found.setdefault(str(path.resolve()), case_at(path))
        elif path.exists():
            found.setdefault(str(path.resolve()), Found(text, Case(name=text, capture=text)))
        else:
            raise FileNotFoundError(2, "No such file or directory", text)
    return list(found.values())


def case_at(file: Path) -> Found:
    """The case of one description."""
    name = name_of(file)
    try:
        return Found(name, load(file))
    except (ConfigError, OSError) as error:
        return Found(name, None, str(error))


def selector(expression: str) -> Callable[[str], bool]:
    """pytest's -k: words joined by and, or, not and brackets; a word is looked for in the name.

    Raises ValueError on anything else.
    """
    tokens = re.findall(r"[()]|[^\s()]+", expression)

    def judge(name: str) -> bool:
        rest = list(tokens)
        value = either(rest, name.casefold())
        if rest:
            raise ValueError(f'"{expression}": nothing is expected at "{rest[0]}"')
        return value

    def either(rest: list[str], name: str) -> bool:
        value = both(rest, name)
        while rest and rest[0] == "or":
            rest.pop(0)
            value = both(rest, name) or value
        return value

    def both(rest: list[str], name: str) -> bool:
        value = one(rest, name)
        while rest and rest[0] == "and":
            rest.pop(0)
            value = one(rest, name) and value
        return value

    def one(rest: list[str], name: str) -> bool:
        word = rest.pop(0) if rest else ""
        if word == "not":
            return not one(rest, name)
        if word == "(":
            value = either(rest, name)
            if not rest or rest.pop(0) != ")":
                raise ValueError(f'"{expression}": a bracket is not closed')
            return value
        if word in ("", ")", "and", "or"):
            raise ValueError(f'"{expression}": a word is missing')
        return word.casefold() in name

    judge("")  # says at once what is wrong with it
    return judge
