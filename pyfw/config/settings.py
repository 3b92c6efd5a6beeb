"""NAME.pyfw.toml: what WireGuard does not know about a tunnel. Text in, a frozen struct out, or problems."""

from typing import Any, Literal

import msgspec

from pyfw.config import stages, wg_quick
from pyfw.config.problem import Problem, unknown_key
from pyfw.config.stages import StageConfig
from pyfw.config.toml import Reader

OFFLOADS = ("udp_gso", "udp_gro", "tso", "uso")
LOG_LEVELS = ("debug", "info", "warning", "error", "silent")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How a tunnel's packets are moved, beside what WireGuard's own file says."""

    threads: int = 1
    """1: one data thread serves both directions. 2: inbound has its own."""
    cipher: str = "auto"
    """"auto" takes the fastest that works here."""
    offloads: tuple[str, ...] = OFFLOADS
    """Each is probed; one that is off is never asked for."""
    coalesce_psh: Literal["merge", "close"] = "merge"
    """Whether a segment with PSH ends its frame."""
    log_level: str = "info"
    role: Literal["gateway", "client"] | None = None
    """What is done beside what wg-quick does (pyfw.control.host.roles)."""
    isolate_peers: bool = True
    """Of a gateway: whether its peers are kept from each other."""
    kill_switch: bool = False
    """Of a client: nothing leaves but through the tunnel."""
    key_log: str | None = None
    """Where the secrets of handshakes are appended, for Wireshark: who has the file can read the tunnel."""
    stages: tuple[StageConfig, ...] = ()
    """In the order in which they stand behind `route` and `coalesce`."""


# Each key as it is written, dotted, and what it may be.
_CHOICES: dict[str, tuple[Any, ...]] = {
    "threads": (1, 2),
    "cipher": ("auto", "ring", "ipsec-mb"),
    "log_level": LOG_LEVELS,
    "role": ("gateway", "client"),
    "isolate_peers": (True, False),
    "kill_switch": (True, False),
    "coalesce.psh": ("merge", "close"),
    **{f"offloads.{name}": (True, False) for name in OFFLOADS},
}
_KEY_LOG = "key_log"
KEYS = (*_CHOICES, _KEY_LOG)
# Keys that mean something in one role only.
_OF_ROLE = {"isolate_peers": "gateway", "kill_switch": "client"}
_TABLES = {"offloads", "coalesce"}
# Named in the documentation of later versions: refused, not ignored.
_PLANNED = {"metrics", "capture"}
_SHOWN_MAX = 40


def read(text: str, file: str) -> tuple[Settings, list[Problem]]:
    """Reads a file. Where there are problems, the settings are the defaults."""
    reader = Reader(text, file, "NAME.pyfw.toml", _expected)
    flat: dict[str, Any] = {}
    asked, _ = stages.read(reader, reader.document.pop("stages", []))
    for name, value in reader.document.items():
        if name in _TABLES and isinstance(value, dict):
            flat |= {f"{name}.{inner}": item for inner, item in value.items()}
        elif name in _TABLES:
            reader.fault(name, f"is a table; write [{name}]")
        else:
            flat[name] = value
    for name, value in flat.items():
        if text_ := _judge(name, value):
            reader.fault(name, text_)
    # Where the role itself is wrong, that is told.
    for name in _OF_ROLE if not reader.problems else ():
        if name in flat and flat.get("role") != _OF_ROLE[name]:
            needed = _OF_ROLE[name]
            reader.fault(name, f'is for a {needed}; write role = "{needed}", or leave it out')
    return (Settings() if reader.problems else _settings(flat, asked)), reader.problems


def _judge(name: str, value: Any) -> str | None:
    if name in _PLANNED:
        return "is not in this version"
    if name == _KEY_LOG and isinstance(value, str) and value.startswith("/"):
        return None
    choices = _CHOICES.get(name, ())
    # 1 == True in Python; a switch is not a number here.
    if any(type(value) is type(choice) and value == choice for choice in choices):
        return None
    is_known = name in KEYS
    return f"{_shown(value)} is not valid; {_expected(name)}" if is_known else _expected(name)


def _expected(name: str) -> str:
    """What would be right for a key, or that there is none of that name."""
    if name in _TABLES:
        return f"write [{name}]"
    if name == _KEY_LOG:
        return "write the path of a file, from / on"
    if name not in _CHOICES:
        belongs = wg_quick.section_of(name.rpartition(".")[2])
        if belongs:
            return f"belongs into {belongs} of NAME.conf"
        return unknown_key(name, (*KEYS, *sorted(_TABLES), "stages"), "NAME.pyfw.toml")
    return f"write {' or '.join(_shown(choice) for choice in _CHOICES[name])}"


def _shown(value: Any) -> str:
    if not isinstance(value, str | int | float):
        return "a table" if isinstance(value, dict) else "this"
    shown = msgspec.json.encode(value).decode()
    return shown if len(shown) <= _SHOWN_MAX else f"{shown[:_SHOWN_MAX]}…"


def _settings(flat: dict[str, Any], asked: list[StageConfig]) -> Settings:
    fields: dict[str, Any] = {
        name: value for name, value in flat.items() if name in Settings.__struct_fields__
    }
    if "coalesce.psh" in flat:
        fields["coalesce_psh"] = flat["coalesce.psh"]
    fields["offloads"] = tuple(name for name in OFFLOADS if flat.get(f"offloads.{name}", True))
    return Settings(**fields, stages=tuple(asked))
