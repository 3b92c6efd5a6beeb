"""Collects cases and captures from paths. Folders are searched for *.replay.toml, in order of name."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from pyfw.config.problem import ConfigError
from pyfw.replay.case import SUFFIX, Case, case_name, load


class CollectedCase(msgspec.Struct, frozen=True):
    """A case, or the reason why it cannot be read."""

    name: str
    case: Case | None
    problem: str = ""


def collect(paths: Iterable[str]) -> list[CollectedCase]:
    """Returns all cases of these paths, each once. Raises FileNotFoundError for a path without any."""
    collected: dict[str, CollectedCase] = {}
    for text in paths:
        path = Path(text)
        if text == "-":
            case = Case(name="standard input", capture="-")
            collected.setdefault("-", CollectedCase(case.name, case))
        elif path.is_dir():
            files = sorted(file for file in path.rglob(f"*{SUFFIX}") if file.is_file())
            if not files:
                raise FileNotFoundError(2, f"no *{SUFFIX} in this folder", text)
            for file in files:
                collected.setdefault(str(file.resolve()), collect_file(file))
        elif not path.exists():
            raise FileNotFoundError(2, "No such file or directory", text)
        elif path.name.endswith(SUFFIX):
            collected.setdefault(str(path.resolve()), collect_file(path))
        else:
            case = Case(name=text, capture=text)
            collected.setdefault(str(path.resolve()), CollectedCase(text, case))
    return list(collected.values())


def collect_file(file: Path) -> CollectedCase:
    """Reads one *.replay.toml."""
    name = case_name(file)
    try:
        return CollectedCase(name, load(file))
    except (ConfigError, OSError) as error:
        return CollectedCase(name, None, str(error))


def name_filter(expression: str) -> Callable[[str], bool]:
    """Returns a filter for case names in the syntax of pytest's -k: words, and, or, not, parentheses.

    Raises ValueError for an invalid expression.
    """
    tokens = re.findall(r"[()]|[^\s()]+", expression)

    def matches(name: str) -> bool:
        rest = list(tokens)
        value = parse_or(rest, name.casefold())
        if rest:
            raise ValueError(f'"{expression}": unexpected "{rest[0]}"')
        return value

    def parse_or(rest: list[str], name: str) -> bool:
        value = parse_and(rest, name)
        while rest and rest[0] == "or":
            rest.pop(0)
            value = parse_and(rest, name) or value
        return value

    def parse_and(rest: list[str], name: str) -> bool:
        value = parse_word(rest, name)
        while rest and rest[0] == "and":
            rest.pop(0)
            value = parse_word(rest, name) and value
        return value

    def parse_word(rest: list[str], name: str) -> bool:
        word = rest.pop(0) if rest else ""
        if word == "not":
            return not parse_word(rest, name)
        if word == "(":
            value = parse_or(rest, name)
            if not rest or rest.pop(0) != ")":
                raise ValueError(f'"{expression}": missing ")"')
            return value
        if word in ("", ")", "and", "or"):
            raise ValueError(f'"{expression}": missing word')
        return word.casefold() in name

    matches("")  # reports an invalid expression at once
    return matches
