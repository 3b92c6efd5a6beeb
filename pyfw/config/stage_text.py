"""A stage in one word, as a command line has it: USE, or USE?key=value&key=value.

    --stage tap?file=web.pcapng        --stage 'filters/slow.py:Slow?name=slow&direction=inbound&delay_ms=5'

A key is one of `[[stages]]`, and any other is an option. A value is read as TOML (0.1, true, ["a"], "text"),
and as text where it is none; %26 stands for &. Paths are relative to the current directory.
"""

import tomllib
from typing import Any
from urllib.parse import unquote

import msgspec

from pyfw.config.problem import ConfigError
from pyfw.config.stages import CHECKS, Place, StageConfig, from_table
from pyfw.config.toml import Reader


def from_text(written: str, file: str) -> StageConfig:
    """Reads one; file: what problems call it. Raises ConfigError."""
    use, _, query = written.partition("?")
    table: dict[str, Any] = {"use": use}
    options: dict[str, Any] = {}
    reader = Reader("", file, file)
    for pair in filter(None, query.split("&")):
        key, equals, value = map(unquote, pair.partition("="))
        if not equals:
            reader.fault(key, "has no value; write key=value")
        (table if key in CHECKS and key != "options" else options)[key] = _toml_or_text(value)
    checked = reader.table(table, "", CHECKS)
    config = from_table(reader, {**checked, "options": options}, table, "")
    if reader.problems:
        raise ConfigError(reader.problems)
    return msgspec.structs.replace(config, place=Place(file))


def _toml_or_text(value: str) -> Any:
    try:
        document = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        return value
    found = document.get("value")
    plain = isinstance(found, bool | int | float | str | list | dict) and len(document) == 1
    return found if plain else value
