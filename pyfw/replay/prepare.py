"""Prepares a case for the replay: applies the command line's options, and infers missing ends.

By default the source of the capture's first packet is behind the end "client", all else behind "gateway".
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
from pyfw.replay.client_address import HEAD_BYTES, first_source

ANY = ("0.0.0.0/0", "::/0")
_GATEWAY = End(name="gateway", endpoint="192.0.2.1:51820", addresses=ANY)
_CLIENT_ENDPOINT = "192.0.2.2:51820"
# From a documentation network (RFC 5737): the client of a capture without packets.
_NO_CLIENT = "192.0.2.254"


class CaseOverrides(msgspec.Struct, frozen=True, kw_only=True):
    """Options of the command line that replace those of every case; None replaces nothing."""

    frames: str | None = None
    mtu: int | None = None
    seed: int | None = None
    impairment: Impairment | None = None
    """Of every end."""
    clients: tuple[str, ...] = ()
    """Inner networks of the client, instead of the first packet's source."""
    kind: str | None = None
    keylog: Path | None = None
    keep: int | None = None
    stages: tuple[StageConfig, ...] = ()
    """Added after the stages of the case."""
    stage_end: str | None = None
    """Where to add them; None: at the hub."""

    def change_result(self) -> bool:
        """Whether a case's expectation no longer applies; `keep` does not affect it."""
        return msgspec.structs.replace(self, keep=None, stage_end=None) != CaseOverrides()


def apply_overrides(case: Case, overrides: CaseOverrides) -> Case:
    """Returns the case with the command line's options."""
    names = ("frames", "mtu", "seed", "kind", "keylog", "keep")
    changes: dict[str, Any] = {
        name: value for name in names if (value := getattr(overrides, name)) is not None
    }
    if overrides.impairment is not None:
        changes["impairment"] = {"": overrides.impairment}
    if overrides.clients:
        changes["ends"] = _ends(overrides.clients)
    if overrides.stages:
        ends = changes.get("ends", case.ends) or (_GATEWAY,)
        end = overrides.stage_end or ends[0].name
        changes["stages"] = case.stages | {end: (*case.stages.get(end, ()), *overrides.stages)}
    return msgspec.structs.replace(case, **changes)


@contextlib.contextmanager
def prepared(case: Case) -> Iterator[Case]:
    """Yields the case with its ends and with the path of a readable capture, also for standard input.

    Raises OSError and ValueError.
    """
    if case.ends:
        yield case
    elif case.kind == "outer":
        raise ValueError(
            "an outer capture does not tell the client's inner networks; give them with --client"
        )
    elif case.capture == "-":
        with _standard_input() as (head, path):
            yield msgspec.structs.replace(case, capture=path, ends=_inferred_ends(head))
    else:
        with Path(case.capture).open("rb") as file:
            head = file.read(HEAD_BYTES)
        yield msgspec.structs.replace(case, ends=_inferred_ends(head))


def _inferred_ends(head: bytes) -> tuple[End, ...]:
    return _ends((first_source(head) or _NO_CLIENT,))


def _ends(clients: tuple[str, ...]) -> tuple[End, ...]:
    networks = tuple(
        text if "/" in text else f"{text}/{128 if ':' in text else 32}" for text in clients
    )
    return (_GATEWAY, End(name="client", endpoint=_CLIENT_ENDPOINT, addresses=networks))


@contextlib.contextmanager
def _standard_input() -> Iterator[tuple[bytes, str]]:
    """Yields the first bytes of standard input, and a path from which all of it can be read once."""
    head = b""
    while len(head) < HEAD_BYTES and first_source(head) is None:
        more = os.read(0, HEAD_BYTES - len(head))
        if not more:
            break
        head += more
    reading, writing = os.pipe()

    def copy() -> None:
        with contextlib.suppress(BrokenPipeError), os.fdopen(writing, "wb", buffering=0) as pipe:
            chunk = head
            while chunk:
                pipe.write(chunk)
                chunk = os.read(0, 1 << 16)

    thread = threading.Thread(target=copy, daemon=True)
    thread.start()
    try:
        yield head, f"/dev/fd/{reading}"
    finally:
        os.close(reading)  # ends the copy
        thread.join(timeout=1.0)
