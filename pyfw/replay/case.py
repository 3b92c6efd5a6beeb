"""Reads cases: `NAME.replay.toml` describes a capture, the ends it passes and the network between them.

Only `why` and `capture` are required. One ConfigError reports all problems of a file.
"""

from pathlib import Path
from typing import Any, Literal

import msgspec

from pyfw.config import stages
from pyfw.config.problem import ConfigError, Problem
from pyfw.config.stages import StageConfig
from pyfw.config.toml import Check, Reader, boolean, choice, integer, number, text
from pyfw.replay import schema
from pyfw.replay.schema import file_name

SUFFIX = ".replay.toml"
RULES = ("ordered", "by-size", "by-ecn", "unbatched")
Rule = Literal["ordered", "by-size", "by-ecn", "unbatched"]

# A description is written by hand; a larger file is a mistake.
_BYTES_MAX = 1 << 20


class End(msgspec.Struct, frozen=True, kw_only=True):
    """One WireGuard end of the virtual network. The first is the hub, every other one is its peer."""

    name: str
    endpoint: str
    addresses: tuple[str, ...]
    """Inner networks behind it."""


class Drain(msgspec.Struct, frozen=True, kw_only=True):
    """What one read of a TUN takes: packets of one end within window_us of the first."""

    window_us: int = 100
    frames: int = 128
    bytes: int = 262_144


class Coalesce(msgspec.Struct, frozen=True, kw_only=True):
    """What the receiving end merges."""

    tcp: bool = True
    udp: bool = True
    psh: Literal["merge", "close"] = "merge"


class Impairment(msgspec.Struct, frozen=True, kw_only=True):
    """What the wire does to the datagrams that one end sends; by default nothing."""

    loss: float = 0.0
    loss_burst: float = 0.0
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    reorder: float = 0.0
    reorder_ms: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    ce: float = 0.0
    mtu: int = 0
    rate_mbit: float = 0.0
    queue_ms: float = 0.0


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that happens at a point of virtual time."""

    at_s: float
    do: str
    end: str
    to: str = ""
    """The new address and port of an end that roams."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that determines a replay except the capture's bytes."""

    name: str
    """Name in results: the folder, and the file's stem unless it is "case"."""
    capture: str
    """A path, or "-" for standard input."""
    file: Path | None = None
    why: str = ""
    expected: Path | None = None
    """Path of the expectation; None for a bare capture."""
    kind: Literal["inner", "outer"] = "inner"
    keylog: Path | None = None
    ends: tuple[End, ...] = ()
    """Empty: inferred from the capture (pyfw.replay.prepare)."""
    mtu: int = 1420
    handshake: Literal["before", "on-demand"] = "before"
    """Whether the sessions exist before the first packet, or the first packet starts the handshake."""
    frames: Literal["captured", "tso"] = "captured"
    rule: Rule = "ordered"
    max_segments: int = 64
    seed: int = 1
    keep: int = 10_000
    drain: Drain = Drain()
    coalesce: Coalesce = Coalesce()
    impairment: dict[str, Impairment] = {}
    """By end; "" applies to every end without its own."""
    events: tuple[Event, ...] = ()
    stages: dict[str, tuple[StageConfig, ...]] = {}
    """By end, in their order."""


_FRACTION = number(0, 1)
_MS = number(0, 86_400_000)
IMPAIRMENT_CHECKS = {
    "loss": _FRACTION,
    "loss_burst": number(0, 1_000_000),
    "delay_ms": _MS,
    "jitter_ms": _MS,
    "reorder": _FRACTION,
    "reorder_ms": _MS,
    "duplicate": _FRACTION,
    "corrupt": _FRACTION,
    "ce": _FRACTION,
    "mtu": integer(0, 65_575),
    "rate_mbit": number(0, 1_000_000),
    "queue_ms": _MS,
}
_TABLES = ("ends", "events", "impairment", "drain", "coalesce", "stages")


def load(path: Path, name: str | None = None) -> Case:
    """Reads a case. Raises ConfigError and OSError."""
    file = str(path)
    with path.open("rb") as opened:
        raw = opened.read(_BYTES_MAX + 1)
    if len(raw) > _BYTES_MAX:
        raise ConfigError([Problem(file, 0, "", f"longer than {_BYTES_MAX >> 20} MiB")])
    try:
        content = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem(file, line, "", "not UTF-8")]) from None
    reader = Reader(content, file, "a case")
    fields = _read(reader, path) if not reader.problems else {}
    if reader.problems:
        raise ConfigError(reader.problems)
    stem = path.name.removesuffix(SUFFIX)
    expected = fields.pop("expected", None) or (
        "expected.json" if stem == "case" else f"{stem}.expected.json"
    )
    return Case(
        name=name or case_name(path), file=path, expected=path.with_name(expected), **fields
    )


def case_name(path: Path) -> str:
    """Returns the name of a case: its folder, and its stem if the folder may hold several."""
    stem = path.name.removesuffix(SUFFIX)
    folder = path.parent.as_posix()
    if stem == "case":
        return folder if folder != "." else path.parent.resolve().name
    return stem if folder == "." else f"{folder}/{stem}"


def _read(reader: Reader, path: Path) -> dict[str, Any]:
    def existing_file(value: Any) -> str:
        file = path.parent / file_name(value)
        if not file.is_file():
            raise ValueError(f"no such file: {file}")
        return str(file)

    document = dict(reader.document)
    tables = {key: document.pop(key) for key in _TABLES if key in document}
    scalars = {
        "why": text,
        "capture": existing_file,
        "expected": file_name,
        "kind": choice("inner", "outer"),
        "keylog": lambda value: Path(existing_file(value)),
        "mtu": integer(68, 65_475),
        "handshake": choice("before", "on-demand"),
        "frames": choice("captured", "tso"),
        "rule": choice(*RULES),
        "max_segments": integer(1, 128),
        "seed": integer(0, 2**63 - 1),
        "keep": integer(0, 1_000_000),
    }
    # The tables' names are here only to be suggested for a mistyped key.
    fields = reader.table(document, "", scalars | dict.fromkeys(_TABLES, text))
    for key in ("why", "capture"):
        if key not in document:
            reader.add_problem(key, "is missing; every case needs one")
    fields["ends"] = _ends(reader, tables.get("ends"))
    if fields.get("kind", "inner") == "outer" and "ends" not in tables:
        reader.add_problem(
            "ends", "is missing; an outer capture does not tell which networks are behind which end"
        )
    names = [end.name for end in fields["ends"]] or ["gateway", "client"]
    fields["impairment"] = _impairment(reader, tables.get("impairment", {}), names)
    fields["events"] = _events(reader, tables.get("events", []), names)
    fields["stages"] = _stages(reader, tables.get("stages", []), names)
    if "drain" in tables:
        checks = {
            "window_us": integer(0, 1_000_000_000),
            "frames": integer(1, 1_000_000),
            "bytes": integer(1, 1 << 30),
        }
        fields["drain"] = Drain(**reader.table(tables["drain"], "drain", checks))
    if "coalesce" in tables:
        merged = {"tcp": boolean, "udp": boolean, "psh": choice("merge", "close")}
        fields["coalesce"] = Coalesce(**reader.table(tables["coalesce"], "coalesce", merged))
    return fields


def _ends(reader: Reader, value: Any) -> tuple[End, ...]:
    if value is None:
        return ()
    checks = {"name": _end_name, "endpoint": schema.endpoint, "addresses": schema.networks}
    ends: list[End] = []
    for i, table in enumerate(reader.tables(value, "ends", checks)):
        key = f"ends[{i}]"
        if "name" not in table:
            reader.add_problem(f"{key}.name", "is missing or invalid")
        elif any(end.name == table["name"] for end in ends):
            reader.add_problem(f"{key}.name", "is already the name of an earlier end")
        if i and not table.get("addresses"):
            reader.add_problem(
                f"{key}.addresses", "is missing; write the inner networks behind this end"
            )
        ends.append(
            End(
                name=table.get("name", f"end{i}"),
                endpoint=table.get("endpoint", f"192.0.2.{i + 1}:51820"),
                addresses=table.get("addresses") or ("0.0.0.0/0", "::/0"),
            )
        )
    if len(ends) < 2:
        reader.add_problem("ends", "must be two or more: the hub, then its peers")
    if len({end.endpoint for end in ends}) < len(ends):
        reader.add_problem("ends", "two ends have the same endpoint")
    return tuple(ends)


def _end_name(value: Any) -> str:
    name = text(value)
    if not name.replace("-", "").isalnum() or not name.isascii() or name in IMPAIRMENT_CHECKS:
        raise ValueError(f'"{name}" is not a valid name; write letters, digits and "-"')
    return name


def _impairment(reader: Reader, value: Any, names: list[str]) -> dict[str, Impairment]:
    # Keys of the table itself apply to every end; [impairment.NAME] overrides them for one.
    by_end: dict[str, Check] = dict.fromkeys(names, lambda inner: inner)
    table = reader.table(value, "impairment", IMPAIRMENT_CHECKS | by_end)
    common = {key: item for key, item in table.items() if key in IMPAIRMENT_CHECKS}
    impairments = {"": Impairment(**common)} if common else {}
    for name in names:
        if name in table:
            dotted = f"impairment.{name}"
            impairments[name] = Impairment(
                **common | reader.table(table[name], dotted, IMPAIRMENT_CHECKS)
            )
    return impairments


def _events(reader: Reader, value: Any, names: list[str]) -> tuple[Event, ...]:
    checks = {
        "at_s": number(0, 1_000_000_000),
        "do": choice("roam", "rekey", "replay", "forge"),
        "end": choice(*names),
        "to": schema.endpoint,
    }
    events: list[Event] = []
    for i, table in enumerate(reader.tables(value, "events", checks)):
        raw = value[i] if isinstance(value[i], dict) else {}
        for key in ("at_s", "do", "end"):
            if key not in raw:
                reader.add_problem(f"events[{i}].{key}", "is missing")
        if (table.get("do") == "roam") != ("to" in raw):
            reader.add_problem(f"events[{i}].to", "is required for roam, and for roam only")
        if {"at_s", "do", "end"} <= table.keys():
            events.append(Event(**table))
    return tuple(sorted(events, key=lambda event: event.at_s))


def _stages(reader: Reader, value: Any, names: list[str]) -> dict[str, tuple[StageConfig, ...]]:
    configs, others = stages.read(reader, value, {"end": choice(*names)})
    by_end: dict[str, tuple[StageConfig, ...]] = {}
    for config, other in zip(configs, others, strict=True):
        end = other.get("end", names[0])
        by_end[end] = (*by_end.get(end, ()), config)
    return by_end
