"""`[[stages]]` of NAME.pyfw.toml and of a case: which stages stand in the paths, in which order, and how.

    [[stages]]
    use = "no_telnet.py:NoTelnet"     # or "module:Class", or the name of an entry point such as "tap"
    filter = "tcp port 23"            # or { protocol = "tcp", dst_port = 23 }
    options = { quiet = true }        # what the stage's own Options has

Tables in, frozen structs out, or problems. Only `use` is required; what else is left out is as the
stage's class has it. Nothing is imported here: that is pyfw.stages.find.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from pyfw.config.filter_words import FILTER_CHECKS, public_key
from pyfw.config.problem import Problem
from pyfw.config.toml import Check, Reader, choice, line_of, number, text, whole

USE = re.compile(r"(?P<source>[^:]+):(?P<cls>[^\W\d]\w*)|(?P<entry_point>[\w.-]+)")
"""The three forms of `use`; a source with a / or with .py at its end is a file."""

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Place(msgspec.Struct, frozen=True, eq=False):
    """Where a table is written. Two stages that differ in nothing else are the same stage."""

    file: str = ""
    key: str = ""
    """What the keys of the table are called in a problem: "stages[0]"."""
    lines: Mapping[str, int] = {}
    """By key below the table, dotted; "" is the table's own."""
    folder: Path = Path()
    """What paths in the table are relative to."""

    def problem(self, key: str, words: str) -> Problem:
        """A problem of one of its keys."""
        dotted = f"{self.key}.{key}" if self.key and key else self.key or key
        return Problem(self.file, line_of(self.lines, key), dotted, words)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place)

    def __hash__(self) -> int:
        return 0


class StageConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One stage as it is asked for. None: as its class has it."""

    use: str
    name: str | None = None
    direction: Literal["both", "inbound", "outbound"] | None = None
    peers: tuple[str, ...] | None = None
    filter: Mapping[str, Any] | str | None = None
    on_error: Literal["drop", "pass"] | None = None
    failures: int = 100
    """Calls in a row that may fail; after these comes the outcome."""
    stall_s: float = 10.0
    """How long one call may last until the outcome comes; 0: for ever."""
    outcome: Literal["close", "remove"] = "close"
    """The tunnel is closed, or the stage is taken out."""
    options: Mapping[str, Any] = {}
    place: Place = Place()


def read(
    reader: Reader, value: Any, more: Mapping[str, Check] | None = None
) -> tuple[list[StageConfig], list[dict[str, Any]]]:
    """All tables of `stages`, and what they hold of `more` keys. Problems are the reader's."""
    more = more or {}
    checks = {**CHECKS, **more}
    configs: list[StageConfig] = []
    others: list[dict[str, Any]] = []
    named: dict[str, int] = {}
    for i, table in enumerate(reader.tables(value, "stages", checks)):
        key = f"stages[{i}]"
        config = from_table(reader, {k: v for k, v in table.items() if k in CHECKS}, value[i], key)
        if config.name is not None:
            if config.name in named:
                at = named[config.name]
                reader.fault(f"{key}.name", f"is the name of the stage at line {at}, too")
            named.setdefault(config.name, reader.line(f"{key}.name"))
        configs.append(config)
        others.append({k: v for k, v in table.items() if k in more})
    return configs, others


def from_table(reader: Reader, table: Mapping[str, Any], given: Any, key: str) -> StageConfig:
    """One table whose values were checked; `given` is what was written."""
    if isinstance(given, Mapping) and "use" not in given:
        missing = 'is missing; write "module:Class", "file.py:Class" or the name of an entry point'
        reader.fault(f"{key}.use" if key else "use", missing)
    if "filter" in table and isinstance(table["filter"], Mapping):
        dotted = f"{key}.filter" if key else "filter"
        table = {**table, "filter": reader.table(table["filter"], dotted, FILTER_CHECKS)}
    place = Place(reader.file, key, reader.lines_below(key), Path(reader.file).parent)
    return StageConfig(**{"use": "", **table}, place=place)


def _use(value: Any) -> str:
    written = text(value)
    if not USE.fullmatch(written):
        raise ValueError(
            f'"{written}" names no stage; write "module:Class", "path/to/file.py:Class" '
            'or the name of an entry point such as "tap"'
        )
    return written


def _name(value: Any) -> str:
    written = text(value)
    if not NAME.fullmatch(written):
        raise ValueError(f'"{written}" is not a name for a stage; write letters, digits, _ and -')
    return written


def _peers(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError("is a list of public keys; leave it out for all peers")
    return tuple(public_key(item) for item in value)


def _filter(value: Any) -> Mapping[str, Any] | str:
    # The words of a table are checked where their own lines can be named.
    if isinstance(value, Mapping) and value:
        return value
    if isinstance(value, str) and value.strip():
        return value.strip()
    raise ValueError('is an expression as tcpdump takes it, or a table { protocol = "tcp" }')


def _options(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError("is a table; write [stages.options]")
    return value


CHECKS: Mapping[str, Check] = {
    "use": _use,
    "name": _name,
    "direction": choice("both", "inbound", "outbound"),
    "peers": _peers,
    "filter": _filter,
    "on_error": choice("drop", "pass"),
    "failures": whole(1, 1_000_000_000),
    "stall_s": number(0, 86_400),
    "outcome": choice("close", "remove"),
    "options": _options,
}
"""The keys of one `[[stages]]`."""
