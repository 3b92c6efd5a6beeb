"""Checks the keys of a stage's filter, which are the arguments of `FrameBatch.where`.

Values come out as `where` takes them; text such as "8000-8099" becomes a range.
"""

import re
from collections.abc import Mapping
from typing import Any

from pyfw.config import values
from pyfw.config.toml import Check, integer, text


def public_key(value: Any) -> str:
    """Checks for a peer's public key in base64."""
    key = "".join(text(value).split())
    values.key(key)
    return key


def _any_of(check_one: Check) -> Check:
    """Returns a check for a value, or for a list of values any of which matches."""

    def check(value: Any) -> Any:
        if not isinstance(value, list):
            return check_one(value)
        if not value:
            raise ValueError("is an empty list, which no frame matches")
        return [check_one(item) for item in value]

    return check


def _numbers(high: int) -> Check:
    """Returns a check for integers from 0, and text such as "8000-8099", a range that includes both ends."""
    single = integer(0, high)

    def check_one(value: Any) -> int | range:
        if isinstance(value, str) and (match := re.fullmatch(r"(\d{1,10})-(\d{1,10})", value)):
            first, last = single(int(match[1])), single(int(match[2]))
            if first <= last:
                return range(first, last + 1)
        try:
            return int(single(value))
        except ValueError as error:
            raise ValueError(f'{error}, a range such as "0-9", or a list of these') from None

    return _any_of(check_one)


def _protocol(value: Any) -> str | int:
    if value in _PROTOCOLS or (type(value) is int and 0 <= value <= 255):
        return value  # type: ignore[no-any-return]
    raise ValueError(f"is not valid; write one of {', '.join(_PROTOCOLS)} in quotes, or 0 to 255")


def _version(value: Any) -> int:
    if type(value) is int and value in (4, 6):
        return value
    raise ValueError("is not valid; write 4 or 6")


def _network(value: Any) -> str:
    return values.network(text(value))


def _tcp_flags(value: Any) -> str:
    flags = text(value)
    if not re.fullmatch(r"[FSRPAUEC]+(/[FSRPAUEC]+)?", flags):
        raise ValueError(
            f'"{flags}" is not valid; write letters of FSRPAUEC, such as "S" or "S/SA"'
        )
    return flags


_PROTOCOLS = ("tcp", "udp", "icmp", "icmp6", "gre", "sctp")

FILTER_CHECKS: Mapping[str, Check] = {
    "protocol": _any_of(_protocol),
    "version": _any_of(_version),
    "source": _any_of(_network),
    "destination": _any_of(_network),
    "address": _any_of(_network),
    "src_port": _numbers(65_535),
    "dst_port": _numbers(65_535),
    "port": _numbers(65_535),
    "length": _numbers(65_535),
    "segments": _numbers(65_535),
    "tcp_flags": _tcp_flags,
    "ecn": _numbers(3),
    "dscp": _numbers(63),
    "mark": _numbers(0xFFFF_FFFF),
    "peer": _any_of(public_key),
    "bpf": text,
}
"""The arguments of `FrameBatch.where`."""
