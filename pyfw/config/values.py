"""Parses the values of wg-quick files by the rules of wg(8) (config.c) and wg-quick(8).

Every function raises ValueError with what would be right. No message repeats a secret.
"""

import base64
import binascii
import ipaddress
import re

from pyfw.config import routing_tables

INTERFACE_NAME = re.compile(r"[a-zA-Z0-9_=+.-]{1,15}")
"""wg-quick's rule; 15 is IFNAMSIZ - 1."""

_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})")
# The largest segment that fits into one IPv4 datagram: 65,507 B minus 32 B of WireGuard.
_MTU_MAX = 65_475
_MTU_MIN = 68  # RFC 791: every link must carry 68 B


class Secret(bytes):
    """32 bytes whose repr and str are hidden, so that no log or traceback contains them."""

    def __repr__(self) -> str:
        return "(hidden)"

    __str__ = __repr__


def key(text: str) -> bytes:
    """Parses 32 bytes in base64, as `wg genkey` prints them."""
    try:
        raw = base64.b64decode(_without_whitespace(text), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 32 or base64.b64encode(raw).decode() != _without_whitespace(text):
        raise ValueError(
            "not a key; write 32 bytes in base64, 44 characters, as pyfw genkey prints"
        )
    return raw


def secret(text: str) -> Secret:
    """Parses a secret key."""
    return Secret(key(text))


def port(text: str) -> int:
    """Parses a UDP port; with 0 the kernel chooses one."""
    return _number(text, 0, 65_535, "a port")


def fwmark(text: str) -> int:
    """Parses a mark for outgoing datagrams: decimal, 0x… or off."""
    if text.casefold() == "off":
        return 0
    error = f'"{text}" is not a mark; write off, or 0 to 0xffffffff'
    if not re.fullmatch(r"0x[0-9A-Fa-f]+|[0-9]+", text, re.ASCII) or len(text) > 10:
        raise ValueError(error)
    value = int(text, 16 if text.startswith("0x") else 10)
    if value > 0xFFFF_FFFF:
        raise ValueError(error)
    return value


def persistent_keepalive(text: str) -> int:
    """Parses an interval in seconds, or off."""
    return (
        0
        if text.casefold() == "off"
        else _number(text, 0, 65_535, "an interval in seconds (or off)")
    )


def mtu(text: str) -> int:
    """Parses the tunnel's MTU."""
    return _number(text, _MTU_MIN, _MTU_MAX, "an MTU")


def table(text: str) -> int | str:
    """Parses "auto", "off", or a routing table by number or by its name in iproute2."""
    folded = text.casefold()
    if folded in ("auto", "off"):
        return folded
    if re.fullmatch(r"0x[0-9a-f]{1,8}", folded) and int(folded, 16):
        return int(folded, 16)
    number = routing_tables.number_of(text) or routing_tables.number_of(folded)
    return number or _number(
        text, 1, 0xFFFF_FFFF, "a routing table (or auto, off, main, a name of rt_tables)"
    )


def boolean(text: str) -> bool:
    """Parses true or false, as wg-quick requires."""
    if text.casefold() not in ("true", "false"):
        raise ValueError(f'"{text}" is not valid; write true or false')
    return text.casefold() == "true"


def endpoint(text: str) -> str:
    """Parses and normalizes host:port or [address]:port. Names are not resolved."""
    text = _without_whitespace(text)
    error = f'"{text}" is not an endpoint; write address:port, [IPv6]:port or name:port'
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or not rest.startswith(":"):
            raise ValueError(error)
        number = rest[1:]
    else:
        host, colon, number = text.rpartition(":")
        if not colon:
            raise ValueError(error)
    try:
        value = _number(number, 1, 65_535, "a port")
    except ValueError as port_error:
        raise ValueError(f"{error}: {port_error}") from None
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # The last label of a host name is not all digits (RFC 1123): this is a mistyped address.
        numeric = host.rstrip(".").rpartition(".")[2].isdigit()
        if text.startswith("[") or numeric or not _HOST_NAME.fullmatch(host):
            raise ValueError(error) from None
        return f"{host}:{value}"
    return f"[{address}]:{value}" if address.version == 6 else f"{address}:{value}"


def network(text: str) -> str:
    """Parses an allowed IP into "address/length", with the host bits cleared."""
    address, slash, length = text.partition("/")
    if (slash and not re.fullmatch(r"[0-9]{1,3}", length, re.ASCII)) or "%" in address:
        raise ValueError(_not_a_network(text))
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise ValueError(_not_a_network(text)) from None


def address(text: str) -> str:
    """Parses an address of the interface into "address/length"."""
    base, slash, length = text.partition("/")
    try:
        if (slash and not re.fullmatch(r"[0-9]{1,3}", length, re.ASCII)) or "%" in base:
            raise ValueError
        return str(ipaddress.ip_interface(text))
    except ValueError:
        raise ValueError(
            f'"{text}" is not an address; write address/length, such as 10.0.0.2/24'
        ) from None


def name_server(text: str) -> str:
    """Parses the address of a DNS server, or a search domain."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        if re.fullmatch(r"[0-9.]+|.*:.*", text) or not _HOST_NAME.fullmatch(text):
            raise ValueError(
                f'"{text}" is not a name server; write its IP address, or a search domain'
            ) from None
        return text


def command(text: str) -> str:
    """Parses a hook."""
    if not text:
        raise ValueError("empty; write a shell command")
    return text


def split_commas(text: str) -> list[str]:
    """Splits a comma-separated list."""
    return [item for item in (_without_whitespace(part) for part in text.split(",")) if item]


def split_words(text: str) -> list[str]:
    """Splits a list at commas and blanks, as wg-quick does for Address and DNS."""
    return text.replace(",", " ").split()


def _not_a_network(text: str) -> str:
    return f'"{text}" is not an IP network; write address/length, such as 10.0.0.0/24 or fd00::/64'


def _without_whitespace(text: str) -> str:
    # As wg, which removes all white space from a line.
    return "".join(text.split())


def _number(text: str, low: int, high: int, what: str) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", text, re.ASCII) or not low <= int(text) <= high:
        raise ValueError(f'"{text}" is not {what}; write {low} to {high}')
    return int(text)
