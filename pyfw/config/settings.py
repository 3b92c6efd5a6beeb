"""Reads NAME.pyfw.toml, the settings of a tunnel that WireGuard does not have."""

from typing import Any, Literal

import msgspec

from pyfw.config import stages, wg_quick
from pyfw.config.problem import Problem, unknown_key
from pyfw.config.stages import StageConfig
from pyfw.config.toml import Reader

OFFLOADS = ("udp_gso", "udp_gro", "tso", "uso")
LOG_LEVELS = ("debug", "info", "warning", "error", "silent")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The content of NAME.pyfw.toml."""

    threads: int = 1
    """1: one data thread serves both directions. 2: inbound has its own."""
    cipher: str = "auto"
    """"auto" selects the fastest that works here."""
    offloads: tuple[str, ...] = OFFLOADS
    """Offloads that are used if a probe finds them. Others are not probed."""
    coalesce_psh: Literal["merge", "close"] = "merge"
    """"close": a segment with PSH closes its frame."""
    log_level: str = "info"
    role: Literal["gateway", "client"] | None = None
    """Adds forwarding or firewall rules to what wg-quick does (pyfw.control.host.roles)."""
    isolate_peers: bool = True
    """Of a gateway: its peers cannot reach each other."""
    kill_switch: bool = False
    """Of a client: blocks all traffic outside the tunnel."""
    key_log: str | None = None
    """The file for handshake secrets, for Wireshark. It decrypts the tunnel: keep it secret."""
    stages: tuple[StageConfig, ...] = ()
    """In the order in which they follow `route` and `coalesce`."""


# The valid values of each key, dotted.
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
_REQUIRED_ROLE = {"isolate_peers": "gateway", "kill_switch": "client"}
_TABLES = {"offloads", "coalesce"}
_SHOWN_MAX = 40


def read(text: str, file: str) -> tuple[Settings, list[Problem]]:
    """Reads a file. If there are problems, the settings are the defaults."""
    reader = Reader(text, file, "NAME.pyfw.toml")
    flat: dict[str, Any] = {}
    stage_configs, _ = stages.read(reader, reader.document.pop("stages", []))
    for name, value in reader.document.items():
        if name in _TABLES and isinstance(value, dict):
            flat |= {f"{name}.{inner}": item for inner, item in value.items()}
        elif name in _TABLES:
            reader.add_problem(name, f"is a table; write [{name}]")
        else:
            flat[name] = value
    for name, value in flat.items():
        if error := _error(name, value):
            reader.add_problem(name, error)
    # Only if the role itself is valid.
    for name in _REQUIRED_ROLE if not reader.problems else ():
        if name in flat and flat.get("role") != _REQUIRED_ROLE[name]:
            role = _REQUIRED_ROLE[name]
            reader.add_problem(name, f'is for a {role}; write role = "{role}", or leave it out')
    return (Settings() if reader.problems else _settings(flat, stage_configs)), reader.problems


def _error(name: str, value: Any) -> str | None:
    if name == _KEY_LOG:
        if isinstance(value, str) and value.startswith("/"):
            return None
        expected = "write an absolute path"
    elif name in _CHOICES:
        choices = _CHOICES[name]
        # 1 == True in Python.
        if any(type(value) is type(choice) and value == choice for choice in choices):
            return None
        expected = f"write {' or '.join(_shown(choice) for choice in choices)}"
    elif section := wg_quick.section_of(name.rpartition(".")[2]):
        return f"belongs in {section} of NAME.conf"
    else:
        return unknown_key(name, (*KEYS, *sorted(_TABLES), "stages"), "NAME.pyfw.toml")
    return f"{_shown(value)} is not valid; {expected}"


def _shown(value: Any) -> str:
    if not isinstance(value, str | int | float):
        return "a table" if isinstance(value, dict) else "this"
    shown = msgspec.json.encode(value).decode()
    return shown if len(shown) <= _SHOWN_MAX else f"{shown[:_SHOWN_MAX]}…"


def _settings(flat: dict[str, Any], stage_configs: list[StageConfig]) -> Settings:
    fields: dict[str, Any] = {
        name: value for name, value in flat.items() if name in Settings.__struct_fields__
    }
    if "coalesce.psh" in flat:
        fields["coalesce_psh"] = flat["coalesce.psh"]
    fields["offloads"] = tuple(name for name in OFFLOADS if flat.get(f"offloads.{name}", True))
    return Settings(**fields, stages=tuple(stage_configs))
