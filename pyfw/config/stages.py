"""Reads `[[stages]]` of NAME.pyfw.toml and of replay cases.

    [[stages]]
    use = "no_telnet.py:NoTelnet"     # or "module:Class", or the name of an entry point such as "tap"
    filter = "tcp port 23"            # or { protocol = "tcp", dst_port = 23 }
    options = { quiet = true }        # fields of the stage's Options

Only `use` is required; other keys default to the attributes of the stage's class. Nothing is imported here:
see pyfw.stages.load.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from pyfw.config.filter_checks import FILTER_CHECKS, public_key
from pyfw.config.problem import Problem
from pyfw.config.toml import Check, Reader, choice, integer, line_of, number, text

USE = re.compile(r"(?P<source>[^:]+):(?P<cls>[^\W\d]\w*)|(?P<entry_point>[\w.-]+)")
"""The three forms of `use`; a source that contains "/" or ends with ".py" is a file."""

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class SourceLocation(msgspec.Struct, frozen=True, eq=False):
    """Where a table is written. It does not count when two StageConfigs are compared."""

    file: str = ""
    key: str = ""
    """The dotted key of the table in problems: "stages[0]"."""
    lines: Mapping[str, int] = {}
    """By dotted key below the table; "" is the table itself."""
    folder: Path = Path()
    """The folder that paths in the table are relative to."""

    def problem(self, key: str, text: str) -> Problem:
        """Returns a problem with one of the table's keys."""
        dotted = f"{self.key}.{key}" if self.key and key else self.key or key
        return Problem(self.file, line_of(self.lines, key), dotted, text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SourceLocation)

    def __hash__(self) -> int:
        return 0


class StageConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One table of `[[stages]]`. None: the attribute of the class counts."""

    use: str
    name: str | None = None
    direction: Literal["both", "inbound", "outbound"] | None = None
    peers: tuple[str, ...] | None = None
    filter: Mapping[str, Any] | str | None = None
    on_error: Literal["drop", "pass"] | None = None
    failures: int = 100
    """Consecutive calls that may fail before the outcome."""
    stall_s: float = 10.0
    """Duration of one call before the outcome; 0: unlimited."""
    outcome: Literal["close", "remove"] = "close"
    """Closes the tunnel, or removes the stage."""
    options: Mapping[str, Any] = {}
    location: SourceLocation = SourceLocation()


def read(
    reader: Reader, value: Any, more: Mapping[str, Check] | None = None
) -> tuple[list[StageConfig], list[dict[str, Any]]]:
    """Reads the array `stages`. Returns one StageConfig a table, and the table's values of `more` keys."""
    more = more or {}
    checks = {**CHECKS, **more}
    configs: list[StageConfig] = []
    others: list[dict[str, Any]] = []
    lines_by_name: dict[str, int] = {}
    for i, table in enumerate(reader.tables(value, "stages", checks)):
        key = f"stages[{i}]"
        config = from_table(reader, {k: v for k, v in table.items() if k in CHECKS}, value[i], key)
        if config.name is not None:
            if config.name in lines_by_name:
                line = lines_by_name[config.name]
                reader.add_problem(f"{key}.name", f"is also the name of the stage at line {line}")
            lines_by_name.setdefault(config.name, reader.line(f"{key}.name"))
        configs.append(config)
        others.append({k: v for k, v in table.items() if k in more})
    return configs, others


def from_table(reader: Reader, table: Mapping[str, Any], raw: Any, key: str) -> StageConfig:
    """Makes a StageConfig of the checked values of a table; `raw` is the table as written."""
    if isinstance(raw, Mapping) and "use" not in raw:
        missing = 'is missing; write "module:Class", "file.py:Class" or the name of an entry point'
        reader.add_problem(f"{key}.use" if key else "use", missing)
    if "filter" in table and isinstance(table["filter"], Mapping):
        dotted = f"{key}.filter" if key else "filter"
        table = {**table, "filter": reader.table(table["filter"], dotted, FILTER_CHECKS)}
    location = SourceLocation(reader.file, key, reader.lines_below(key), Path(reader.file).parent)
    return StageConfig(**{"use": "", **table}, location=location)


def _use(value: Any) -> str:
    use = text(value)
    if not USE.fullmatch(use):
        raise ValueError(
            f'"{use}" names no stage; write "module:Class", "path/to/file.py:Class" '
            'or the name of an entry point such as "tap"'
        )
    return use


def _name(value: Any) -> str:
    name = text(value)
    if not NAME.fullmatch(name):
        raise ValueError(f'"{name}" is not a name for a stage; write letters, digits, _ and -')
    return name


def _peers(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError("is a list of public keys; leave it out for all peers")
    return tuple(public_key(item) for item in value)


def _filter(value: Any) -> Mapping[str, Any] | str:
    # `from_table` checks the keys of a table, with their own lines.
    if isinstance(value, Mapping) and value:
        return value
    if isinstance(value, str) and value.strip():
        return value.strip()
    raise ValueError('is an expression as for tcpdump, or a table such as { protocol = "tcp" }')


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
    "failures": integer(1, 1_000_000_000),
    "stall_s": number(0, 86_400),
    "outcome": choice("close", "remove"),
    "options": _options,
}
"""The keys of one `[[stages]]`."""
