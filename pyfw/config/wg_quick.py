"""Reads wg-quick files into frozen structs, and reports all errors at once.

All keys of wg(8) and wg-quick(8) are supported, in any case. A second value for a key that takes one is an
error, as it is ambiguous; so are two peers with the same public key.
"""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from pyfw.config import values
from pyfw.config.ini import Entry, Section, parse
from pyfw.config.problem import Problem, closest_key, unknown_key
from pyfw.config.values import Secret


class Interface(msgspec.Struct, frozen=True, kw_only=True):
    """The `[Interface]` section."""

    private_key: Secret | None = None
    listen_port: int | None = None
    fwmark: int | None = None
    addresses: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    mtu: int | None = None
    table: int | str = "auto"
    pre_up: tuple[str, ...] = ()
    post_up: tuple[str, ...] = ()
    pre_down: tuple[str, ...] = ()
    post_down: tuple[str, ...] = ()
    save_config: bool = False


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """One `[Peer]` section."""

    public_key: bytes
    preshared_key: Secret | None = None
    allowed_ips: tuple[str, ...] = ()
    endpoint: str | None = None
    """"address:port", "[address]:port", or "name:port" that is not resolved yet."""
    persistent_keepalive: int = 0


class WgQuickFile(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a file."""

    interface: Interface
    peers: tuple[Peer, ...] = ()
    warnings: tuple[Problem, ...] = ()


class _Key(msgspec.Struct, frozen=True):
    """How to parse the values of a key."""

    field: str
    parse: Callable[[str], Any]
    split: Callable[[str], list[str]] | None = None
    """Splits a list. None: the key takes one value."""
    raw: bool = False
    """Includes everything after a #."""
    example: str = ""


def _no_split(text: str) -> list[str]:
    return [text]


INTERFACE_KEYS = {
    "PrivateKey": _Key("private_key", values.secret),
    "ListenPort": _Key("listen_port", values.port),
    "FwMark": _Key("fwmark", values.fwmark),
    "Address": _Key(
        "addresses", values.address, values.split_words, example="10.0.0.2/24, fd00::2/64"
    ),
    "DNS": _Key("dns", values.name_server, values.split_words, example="1.1.1.1, office.example"),
    "MTU": _Key("mtu", values.mtu),
    "Table": _Key("table", values.table),
    "PreUp": _Key("pre_up", values.command, _no_split, raw=True),
    "PostUp": _Key("post_up", values.command, _no_split, raw=True),
    "PreDown": _Key("pre_down", values.command, _no_split, raw=True),
    "PostDown": _Key("post_down", values.command, _no_split, raw=True),
    "SaveConfig": _Key("save_config", values.boolean),
}

PEER_KEYS = {
    "PublicKey": _Key("public_key", values.key),
    "PresharedKey": _Key("preshared_key", values.secret),
    "AllowedIPs": _Key(
        "allowed_ips", values.network, values.split_commas, example="10.0.0.0/24, fd00::/64"
    ),
    "Endpoint": _Key("endpoint", values.endpoint),
    "PersistentKeepalive": _Key("persistent_keepalive", values.persistent_keepalive),
}

# Keys of NAME.pyfw.toml that may be written here by mistake.
_TOML_KEYS = {"role", "threads", "cipher", "log_level", "offloads", "stages", "kill_switch"}
_KEYS = {"interface": INTERFACE_KEYS, "peer": PEER_KEYS}


def section_of(key: str) -> str | None:
    """Returns the section of a key in brackets; None if the key is unknown."""
    for section, keys in _KEYS.items():
        if key.casefold() in (name.casefold() for name in keys):
            return f"[{section.title()}]"
    return None


def read(text: str, file: str) -> tuple[WgQuickFile, list[Problem]]:
    """Reads a file. If there are problems, the first result is incomplete."""
    sections, problems = parse(text, file)
    known: list[Section] = []
    for section in sections:
        if section.name.casefold() in _KEYS:
            known.append(section)
            continue
        close = closest_key(section.name, _KEYS)
        hint = f"did you mean [{close.title()}]?" if close else "write [Interface] or [Peer]"
        problem = Problem(file, section.line, f"[{section.name}]", f"no such section; {hint}")
        problems.append(problem)
        if close:  # report the errors in it, too
            known.append(msgspec.structs.replace(section, name=close))
    interfaces = [s for s in known if s.name.casefold() == "interface"]
    for extra in interfaces[1:]:
        message = f"given again; the first is at line {interfaces[0].line}"
        problems.append(Problem(file, extra.line, "[Interface]", message))
    if not interfaces:
        message = "missing; begin with [Interface] and a PrivateKey"
        problems.append(Problem(file, 1, "[Interface]", message))

    interface = Interface(**_fields(interfaces[0], file, problems)) if interfaces else Interface()
    # A hook may set the private key, as in wg-quick(8).
    if interfaces and not interface.post_up and not _has(interfaces[0], "PrivateKey"):
        message = "missing; write what pyfw genkey prints"
        problems.append(Problem(file, interfaces[0].line, "PrivateKey", message))

    peers: list[Peer] = []
    lines: list[int] = []
    for section in (s for s in known if s.name.casefold() == "peer"):
        fields = _fields(section, file, problems)
        if "public_key" in fields:
            peers.append(Peer(**fields))
            lines.append(section.line)
        elif not _has(section, "PublicKey"):
            message = "missing in this [Peer]; write the public key of the other end"
            problems.append(Problem(file, section.line, "PublicKey", message))
    problems += _duplicate_peers(peers, lines, file)
    peers, warnings = _without_shared_prefixes(peers, lines, file)
    return WgQuickFile(interface=interface, peers=tuple(peers), warnings=tuple(warnings)), problems


def _has(section: Section, key: str) -> bool:
    """Whether a section has a key, or a misspelling of it, which is a problem of its own."""
    known = _KEYS[section.name.casefold()]
    return any(closest_key(entry.key, known) == key for entry in section.entries)


def _fields(section: Section, file: str, problems: list[Problem]) -> dict[str, Any]:
    known = _KEYS[section.name.casefold()]
    by_fold = {name.casefold(): (name, key) for name, key in known.items()}
    fields: dict[str, Any] = {}
    first: dict[str, Entry] = {}
    for entry in section.entries:
        if entry.key.casefold() not in by_fold:
            problems.append(Problem(file, entry.line, entry.key, _unknown(entry.key, section)))
            continue
        name, key = by_fold[entry.key.casefold()]
        if name in first and key.split is None:
            text = f"given again; the first is at line {first[name].line}"
            problems.append(Problem(file, entry.line, name, text))
            continue
        first[name] = entry
        value = entry.raw if key.raw else entry.value
        try:
            if key.split is None:
                fields[key.field] = key.parse(value)
            else:
                parts = key.split(value)
                if not parts:
                    raise ValueError(f"empty; write a list such as {key.example}, or leave it out")
                parsed = tuple(key.parse(item) for item in parts)
                fields[key.field] = fields.get(key.field, ()) + parsed
        except ValueError as error:
            problems.append(Problem(file, entry.line, name, str(error)))
    return fields


def _unknown(key: str, section: Section) -> str:
    here = section.name.casefold()
    if belongs := section_of(key):
        return f"belongs in {belongs}, not in [{here.title()}]"
    if key.casefold() in _TOML_KEYS:
        return "is not a WireGuard key; write it in NAME.pyfw.toml"
    return unknown_key(key, _KEYS[here], f"[{here.title()}]")


def _duplicate_peers(peers: list[Peer], lines: list[int], file: str) -> Iterable[Problem]:
    first: dict[bytes, int] = {}
    for peer, line in zip(peers, lines, strict=True):
        if peer.public_key in first:
            text = f"the same as that of the peer at line {first[peer.public_key]}"
            yield Problem(file, line, "PublicKey", text)
        first.setdefault(peer.public_key, line)


def _without_shared_prefixes(
    peers: list[Peer], lines: list[int], file: str
) -> tuple[list[Peer], list[Problem]]:
    """Assigns a prefix of several peers to the last of them, as WireGuard does."""
    owner = {network: at for at, peer in enumerate(peers) for network in peer.allowed_ips}
    warnings: list[Problem] = []
    changed: list[Peer] = []
    for at, peer in enumerate(peers):
        for network in dict.fromkeys(peer.allowed_ips):
            if owner[network] != at:
                text = f"{network} goes to the later peer at line {lines[owner[network]]}"
                warnings.append(Problem(file, lines[at], "AllowedIPs", text))
        own = tuple(n for n in dict.fromkeys(peer.allowed_ips) if owner[n] == at)
        changed.append(msgspec.structs.replace(peer, allowed_ips=own))
    return changed, warnings
