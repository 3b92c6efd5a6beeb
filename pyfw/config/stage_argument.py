"""Parses a stage given on the command line: USE, or USE?key=value&key=value.

    --stage tap?file=web.pcapng        --stage 'filters/slow.py:Slow?name=slow&direction=inbound&delay_ms=5'

Keys of `[[stages]]` are keys of the stage, all others are options. A value that is valid TOML (0.1, true,
["a"], "text") is read as TOML, any other as text; %26 stands for &. Paths are relative to the current
directory.
"""

import tomllib
from typing import Any
from urllib.parse import unquote

import msgspec

from pyfw.config.problem import ConfigError
from pyfw.config.stages import CHECKS, SourceLocation, StageConfig, from_table
from pyfw.config.toml import Reader


def from_text(argument: str, file: str) -> StageConfig:
    """Parses an argument; `file` is its name in problems. Raises ConfigError."""
    use, _, query = argument.partition("?")
    table: dict[str, Any] = {"use": use}
    options: dict[str, Any] = {}
    reader = Reader("", file, file)
    for pair in filter(None, query.split("&")):
        key, equals, value = map(unquote, pair.partition("="))
        if not equals:
            reader.add_problem(key, "has no value; write key=value")
        (table if key in CHECKS and key != "options" else options)[key] = _toml_or_text(value)
    checked = reader.table(table, "", CHECKS)
    config = from_table(reader, {**checked, "options": options}, table, "")
    if reader.problems:
        raise ConfigError(reader.problems)
    return msgspec.structs.replace(config, location=SourceLocation(file))


def _toml_or_text(value: str) -> Any:
    try:
        document = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        return value
    found = document.get("value")
    supported = isinstance(found, bool | int | float | str | list | dict) and len(document) == 1
    return found if supported else value
