"""What a stage's class declares, and what was written for it: its options, and its attributes.

In: a class or a stage, and the table that asks for it. Out: the class's Options, filled; and problems, each
at the operator's line where it was written there, else at the class.
"""

import inspect
import math
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec

from pyfw._native import StageChain
from pyfw.config import values
from pyfw.config.filter_checks import FILTER_CHECKS
from pyfw.config.problem import Problem, unknown_key
from pyfw.config.stages import CHECKS, StageConfig
from pyfw.stage import Stage
from pyfw.stages import bpf
from pyfw.stages.load import StageLoadError, guarded, source_of


def options_of(cls: type[Stage], config: StageConfig, base: Path) -> msgspec.Struct:
    """The table's options as the class's `Options`; a Path is relative to `base`. Raises StageLoadError."""
    kind: Any = cls.Options
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        raise StageLoadError(
            Problem(*source_of(cls), "", f"{cls.__name__}.Options is no msgspec.Struct")
        )
    whole = f"{cls.__name__}.Options"
    where = source_of(kind)

    def hook(to: type, value: Any) -> Any:
        if to is Path and isinstance(value, str):
            return base / value
        raise NotImplementedError

    def convert(key: str, value: Any, to: Any) -> Any:
        try:
            return msgspec.convert(value, to, dec_hook=hook)
        except msgspec.ValidationError as error:
            words, _, at = str(error).partition(" - at `$")
            words = f"{words[:1].lower()}{words[1:]}"
            raise StageLoadError(config.location.problem(key + at.removesuffix("`"), words)) from None

    known = {
        field.encode_name: field for field in guarded(whole, where, msgspec.structs.fields, kind)
    }
    problems: list[Problem] = []
    for name, value in config.options.items():
        key = f"options.{name}"
        if name not in known:
            text = unknown_key(name, known, f"the options of {cls.__name__}")
            problems.append(config.location.problem(key, text))
            continue
        try:
            guarded(whole, where, convert, key, value, known[name].type)
        except StageLoadError as wrong:
            problems += wrong.problems
    for name, field in known.items():
        if field.required and name not in config.options:
            text = f"is missing; {cls.__name__} needs it"
            problems.append(config.location.problem(f"options.{name}", text))
    if problems:
        raise StageLoadError(*problems)
    # Once more as a whole, for what __post_init__ finds.
    made: msgspec.Struct = guarded(whole, where, convert, "options", dict(config.options), kind)
    return made


def faults(stage: Stage, config: StageConfig) -> list[Problem]:
    """What is wrong with a stage's attributes, as they are after the table's values came on top."""
    problems: list[Problem] = []
    for key, check in _ATTRIBUTES.items():
        try:
            check(getattr(stage, key))
        except (ValueError, TypeError, OSError) as error:
            if key in CHECKS and getattr(config, key) is not None:
                problems.append(config.location.problem(key, str(error)))
            else:
                cls = type(stage)
                problems.append(Problem(*source_of(cls), "", f"{cls.__name__}.{key}: {error}"))
    for call in ("start", "stop", "process", "tick", "handover", "takeover"):
        function = getattr(type(stage), call)
        if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
            text = f"{call} is a coroutine or generator; nothing would run it"
            problems.append(Problem(*source_of(function), "", text))
    return problems


def _one_of(*names: str) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        if value not in names:
            raise ValueError(f"is {value!r}; write {' or '.join(map(repr, names))}")

    return check


def _at_least_0(value: Any) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0:
        raise ValueError(f"is {value!r}; write a number that is 0 or more")


def _count(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"is {value!r}; write a whole number that is 0 or more")


def _peers(value: Any) -> None:
    if value is None:
        return
    if isinstance(value, str) or not isinstance(value, Collection):
        raise ValueError("is a collection of public keys, or None")
    for key in value:
        if not isinstance(key, str):
            raise ValueError("is a collection of public keys in base64")
        values.key(key)


def _filter(value: Any) -> None:
    if isinstance(value, str):
        bpf.program(value)
    elif isinstance(value, Mapping):
        for word in value:
            if word not in FILTER_CHECKS:
                raise ValueError(f"has the word {word!r}: {_unknown_word(str(word))}")
        # What the values may be, the chain says; nobody uses this one.
        StageChain().slot(Stage(), name="filter", filter=dict(value))
    elif value is not None:
        raise ValueError("is an expression as tcpdump takes it, or words of FrameBatch.where")


def _unknown_word(word: str) -> str:
    return unknown_key(word, FILTER_CHECKS, "FrameBatch.where")


_ATTRIBUTES: Mapping[str, Callable[[Any], None]] = {
    "direction": _one_of("both", "inbound", "outbound"),
    "peers": _peers,
    "filter": _filter,
    "on_error": _one_of("drop", "pass"),
    "tick_ms": _at_least_0,
    "hold_frames": _count,
    "hold_bytes": _count,
}
