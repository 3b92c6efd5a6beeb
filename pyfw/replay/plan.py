"""A case becomes the plan that the extension takes; options of the command line go on top.

Where a case names no ends, the capture's first packet does: its source is the client.
"""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from pyfw.config.stages import StageConfig
from pyfw.replay.case import Case, End, Impairment
from pyfw.replay.first_packet import HEAD_BYTES, first_source

EVERYTHING = ("0.0.0.0/0", "::/0")
_GATEWAY = End(name="gateway", endpoint="192.0.2.1:51820", addresses=EVERYTHING)
_CLIENT_ENDPOINT = "192.0.2.2:51820"
# A replay's wall clock: 2023-11-14T22:13:20Z, whatever the machine's says.
START_UNIX_NS = 1_700_000_000_000_000_000


class Overrides(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line changes in every case; None: nothing."""

    frames: str | None = None
    mtu: int | None = None
    seed: int | None = None
    impairment: Impairment | None = None
    """Replaces that of every end."""
    clients: tuple[str, ...] = ()
    """Inner networks of the client, instead of the first packet's source."""
    kind: str | None = None
    keylog: Path | None = None
    keep: int | None = None
    stages: tuple[StageConfig, ...] = ()
    """Stand behind those of the case."""
    stage_end: str | None = None
    """At which end; None: the hub."""

    def change_outcome(self) -> bool:
        """Whether a case's expectations still hold for what is run; `keep` alone leaves them."""
        return msgspec.structs.replace(self, keep=None, stage_end=None) != Overrides()


def with_overrides(case: Case, overrides: Overrides) -> Case:
    """The case as the command line wants it."""
    named = ("frames", "mtu", "seed", "kind", "keylog", "keep")
    changes: dict[str, Any] = {
        key: value for key in named if (value := getattr(overrides, key)) is not None
    }
    if overrides.impairment is not None:
        changes["impairment"] = {"": overrides.impairment}
    if overrides.clients:
        changes["ends"] = _ends_of(overrides.clients)
    if overrides.stages:
        ends = changes.get("ends", case.ends) or (_GATEWAY,)
        end = overrides.stage_end or ends[0].name
        changes["stages"] = case.stages | {end: (*case.stages.get(end, ()), *overrides.stages)}
    return msgspec.structs.replace(case, **changes)


def plan_of(
    case: Case, rule: str, *, write: str | None = None, secrets: bool = False
) -> dict[str, Any]:
    """What pyfw._native.replay takes. Raises OSError where the key log cannot be read."""
    everywhere = case.impairment.get("", Impairment())
    return {
        "capture": case.capture,
        "kind": case.kind,
        "keylog": case.keylog.read_text() if case.keylog else None,
        "ends": [
            {"name": end.name, "endpoint": end.endpoint, "addresses": list(end.addresses)}
            for end in case.ends
        ],
        "mtu": case.mtu,
        "handshake": case.handshake,
        "frames": case.frames,
        "drain": msgspec.to_builtins(case.drain),
        "rule": rule,
        "max_segments": case.max_segments,
        "coalesce": msgspec.to_builtins(case.coalesce),
        "seed": case.seed,
        "start_unix_ns": START_UNIX_NS,
        "impairment": {
            end.name: msgspec.to_builtins(case.impairment.get(end.name, everywhere))
            for end in case.ends
        },
        "events": [msgspec.to_builtins(event) for event in case.events],
        "write": write,
        "secrets": secrets,
        "keep": case.keep,
    }


@contextlib.contextmanager
def opened(case: Case) -> Iterator[Case]:
    """The case with its ends known; standard input is passed on while the block runs.

    Raises OSError and ValueError.
    """
    if case.ends:
        yield case
    elif case.kind == "outer":
        raise ValueError("an outer capture does not show who the client is: name it with --client")
    elif case.capture == "-":
        with _standard_input() as (head, path):
            yield msgspec.structs.replace(case, capture=path, ends=_ends(head))
    else:
        with Path(case.capture).open("rb") as file:
            head = file.read(HEAD_BYTES)
        yield msgspec.structs.replace(case, ends=_ends(head))


def _ends(head: bytes) -> tuple[End, ...]:
    source = first_source(head)
    # A capture without a packet still has two ends; 192.0.2.0/24 is nobody's (RFC 5737).
    return _ends_of((source or "192.0.2.254",))


def _ends_of(clients: tuple[str, ...]) -> tuple[End, ...]:
    networks = tuple(
        text if "/" in text else f"{text}/{128 if ':' in text else 32}" for text in clients
    )
    return (_GATEWAY, End(name="client", endpoint=_CLIENT_ENDPOINT, addresses=networks))


@contextlib.contextmanager
def _standard_input() -> Iterator[tuple[bytes, str]]:
    """The first bytes of standard input, and a path at which all of it can be read, once."""
    head = b""
    while len(head) < HEAD_BYTES and first_source(head) is None:
        more = os.read(0, HEAD_BYTES - len(head))
        if not more:
            break
        head += more
    reading, writing = os.pipe()

    def pump() -> None:
        with contextlib.suppress(BrokenPipeError), os.fdopen(writing, "wb", buffering=0) as pipe:
            chunk = head
            while chunk:
                pipe.write(chunk)
                chunk = os.read(0, 1 << 16)

    thread = threading.Thread(target=pump, daemon=True)
    thread.start()
    try:
        yield head, f"/dev/fd/{reading}"
    finally:
        os.close(reading)  # ends the pump, whatever was left
        thread.join(timeout=1.0)
