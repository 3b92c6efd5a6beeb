"""What values of a case may look like, beside what every TOML file of pyfw has (pyfw.config.toml)."""

import re
from typing import Any

from pyfw.config import values
from pyfw.config.toml import quoted, text


def file_name(value: Any) -> str:
    """A file beside the case, or below or above it, but never an absolute path."""
    name = text(value)
    if name.startswith(("/", "~", "\\")) or "\0" in name:
        raise ValueError("is not a path relative to this file")
    return name


def endpoint(value: Any) -> str:
    """A numeric outer address and port."""
    written = values.endpoint(text(value))
    host = written.rpartition(":")[0]
    if not (host.startswith("[") or re.fullmatch(r"[0-9.]+", host)):
        raise ValueError(
            f"{quoted(written)} is a name; a replay looks nothing up, write an address"
        )
    return written


def networks(value: Any) -> tuple[str, ...]:
    """Inner networks."""
    if not isinstance(value, list):
        raise ValueError('is a list of networks; write ["10.0.0.2/32"]')
    return tuple(values.network(text(item)) for item in value)
