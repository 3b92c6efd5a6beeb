"""Records what must be undone for a tunnel, in /run/pyfw/NAME.json.

A change is recorded before it is made, and until it is undone. The process that brings a tunnel up or down
holds the file. A record that no process holds, without a running daemon, was left by a daemon that was
killed: the next start, or `pyfw down`, undoes it. Hooks may contain secrets, so only root can read the file.
"""

import asyncio
import errno
import time
from pathlib import Path
from typing import Self

import msgspec

from pyfw.control.host.locked_file import LockedFile

DIRECTORY = Path("/run/pyfw")

_CLAIM_TIMEOUT_S, _RETRY_S = 10.0, 0.02


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A policy routing rule."""

    version: int
    priority: int
    table: int
    mark: int | None = None
    """Excludes packets with this mark. None: the rule ignores the table's default route instead."""


class UndoRecord(msgspec.Struct, kw_only=True):
    """Changes to the host that outlive the link."""

    network: str
    """The network namespace of the changes, as in `network_namespace`."""
    up: bool = False
    """Whether PostUp has run, so that PostDown must run."""
    dns: str | None = None
    """The backend that has set name servers."""
    firewall: bool = False
    forwarding: bool = False
    """Whether the tunnel counts as a user of IP forwarding."""
    kill_switch: bool = False
    """Whether the firewall is a kill switch, which stays closed after a crash."""
    mark: int = 0
    """The mark of datagrams that the kill switch accepts."""
    endpoints: dict[str, str] = {}
    """Resolved endpoints by name: a closed kill switch blocks DNS."""
    rules: list[Rule] = msgspec.field(default_factory=list)
    pre_down: tuple[str, ...] = ()
    post_down: tuple[str, ...] = ()


class UndoLog:
    """The file with the record of one interface, held from `claim` to `release`."""

    def __init__(self, file: LockedFile) -> None:
        self._file = file

    @classmethod
    async def claim(cls, name: str) -> Self:
        """Waits until no other process holds the file. Raises OSError: EBUSY after a timeout."""
        deadline = time.monotonic() + _CLAIM_TIMEOUT_S
        while True:
            file = LockedFile.claim(DIRECTORY / f"{name}.json")
            if file is not None:
                return cls(file)
            if time.monotonic() > deadline:
                text = f"another process is bringing {name} up or down"
                raise OSError(errno.EBUSY, text)
            await asyncio.sleep(_RETRY_S)

    def read(self) -> UndoRecord | None:
        """Returns the record; None if nothing must be undone."""
        line = self._file.read()
        try:
            return msgspec.json.decode(line, type=UndoRecord) if line else None
        except msgspec.DecodeError:
            # Written by another version: undo what can be found by name.
            return UndoRecord(network=network_namespace(), firewall=True)

    def write(self, record: UndoRecord) -> None:
        """Replaces the record."""
        self._file.write(msgspec.json.encode(record))

    def clear(self) -> None:
        """Deletes the record: nothing must be undone any more."""
        self._file.clear()

    def release(self) -> None:
        """Releases the file. May be called twice."""
        self._file.release()


def network_namespace() -> str:
    """Returns an identifier of the current network namespace, unique as long as the namespace exists."""
    status = Path("/proc/self/ns/net").stat()
    return f"{status.st_dev}:{status.st_ino}"
