"""Checks of values that only cases have; pyfw.config.toml has those of every TOML file."""

import re
from typing import Any

from pyfw.config import values
from pyfw.config.toml import quoted, text


def file_name(value: Any) -> str:
    """Checks a path relative to the case."""
    name = text(value)
    if name.startswith(("/", "~", "\\")) or "\0" in name:
        raise ValueError("is not a path relative to this file")
    return name


def endpoint(value: Any) -> str:
    """Checks an outer address and port, both numeric."""
    written = values.endpoint(text(value))
    host = written.rpartition(":")[0]
    if not (host.startswith("[") or re.fullmatch(r"[0-9.]+", host)):
        raise ValueError(
            f"{quoted(written)} is a host name, which a replay does not resolve; write an address"
        )
    return written


def networks(value: Any) -> tuple[str, ...]:
    """Checks a list of inner networks."""
    if not isinstance(value, list):
        raise ValueError('is not a list; write networks such as ["10.0.0.2/32"]')
    return tuple(values.network(text(item)) for item in value)
