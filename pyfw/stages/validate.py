"""Validates a stage's options and attributes.

A problem names the line of the table that has the value, or else the stage's class.
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
from pyfw.stages.guard import StageLoadError, guarded, source_location


def convert_options(cls: type[Stage], config: StageConfig, base: Path) -> msgspec.Struct:
    """Converts the table's options to the class's `Options`; a Path is relative to `base`.

    Raises StageLoadError with all problems.
    """
    kind: Any = cls.Options
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        raise StageLoadError(
            Problem(*source_location(cls), "", f"{cls.__name__}.Options is not a msgspec.Struct")
        )
    label = f"{cls.__name__}.Options"
    location = source_location(kind)

    def hook(to: type, value: Any) -> Any:
        if to is Path and isinstance(value, str):
            return base / value
        raise NotImplementedError

    def convert(key: str, value: Any, to: Any) -> Any:
        try:
            return msgspec.convert(value, to, dec_hook=hook)
        except msgspec.ValidationError as error:
            text, _, path = str(error).partition(" - at `$")
            text = f"{text[:1].lower()}{text[1:]}"
            raise StageLoadError(
                config.location.problem(key + path.removesuffix("`"), text)
            ) from None

    known = {
        field.encode_name: field for field in guarded(label, location, msgspec.structs.fields, kind)
    }
    problems: list[Problem] = []
    for name, value in config.options.items():
        key = f"options.{name}"
        if name not in known:
            text = unknown_key(name, known, f"the options of {cls.__name__}")
            problems.append(config.location.problem(key, text))
            continue
        try:
            guarded(label, location, convert, key, value, known[name].type)
        except StageLoadError as error:
            problems += error.problems
    for name, field in known.items():
        if field.required and name not in config.options:
            text = f"is missing; {cls.__name__} needs it"
            problems.append(config.location.problem(f"options.{name}", text))
    if problems:
        raise StageLoadError(*problems)
    # Once more as a whole, which runs __post_init__.
    options: msgspec.Struct = guarded(
        label, location, convert, "options", dict(config.options), kind
    )
    return options


def check_attributes(stage: Stage, config: StageConfig) -> list[Problem]:
    """Checks a stage's attributes, after the table's keys have overridden those of the class."""
    problems: list[Problem] = []
    for key, check in _ATTRIBUTES.items():
        try:
            check(getattr(stage, key))
        except (ValueError, TypeError, OSError) as error:
            if key in CHECKS and getattr(config, key) is not None:
                problems.append(config.location.problem(key, str(error)))
            else:
                cls = type(stage)
                problems.append(
                    Problem(*source_location(cls), "", f"{cls.__name__}.{key}: {error}")
                )
    for call in ("start", "stop", "process", "tick", "handover", "takeover"):
        function = getattr(type(stage), call)
        if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
            text = f"{call} is a coroutine or generator, which pyfw does not run"
            problems.append(Problem(*source_location(function), "", text))
    return problems


def _one_of(*names: str) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        if value not in names:
            raise ValueError(f"is {value!r}; write {' or '.join(map(repr, names))}")

    return check


def _at_least_0(value: Any) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < 0:
        raise ValueError(f"is {value!r}; write a number that is 0 or more")


def _count(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"is {value!r}; write a whole number that is 0 or more")


def _peers(value: Any) -> None:
    if value is None:
        return
    if isinstance(value, str) or not isinstance(value, Collection):
        raise ValueError("must be a collection of public keys, or None")
    for key in value:
        if not isinstance(key, str):
            raise ValueError("must be a collection of public keys in base64")
        values.key(key)


def _filter(value: Any) -> None:
    if isinstance(value, str):
        bpf.program(value)
    elif isinstance(value, Mapping):
        for key in value:
            if key not in FILTER_CHECKS:
                unknown = unknown_key(str(key), FILTER_CHECKS, "FrameBatch.where")
                raise ValueError(f"has the key {key!r}: {unknown}")
        # A throw-away slot checks the values.
        StageChain().slot(Stage(), name="filter", filter=dict(value))
    elif value is not None:
        raise ValueError("must be a tcpdump expression, or a mapping of FrameBatch.where arguments")


_ATTRIBUTES: Mapping[str, Callable[[Any], None]] = {
    "direction": _one_of("both", "inbound", "outbound"),
    "peers": _peers,
    "filter": _filter,
    "on_error": _one_of("drop", "pass"),
    "tick_ms": _at_least_0,
    "hold_frames": _count,
    "hold_bytes": _count,
}
