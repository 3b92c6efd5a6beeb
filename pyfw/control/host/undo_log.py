"""What has to be undone of one tunnel, in /run/pyfw/NAME.json, from before it is done until it is undone.

Whoever brings a tunnel up or down holds the file. What is on record and held by nobody, with no daemon that
answers, was left by one that was killed: the next start, or `down`, undoes it. Hooks may hold secrets: the
file is root's alone.
"""

import asyncio
import errno
import time
from pathlib import Path
from typing import Self

import msgspec

from pyfw.control.host.locked_file import LockedFile

DIRECTORY = Path("/run/pyfw")

_WAIT_S, _PAUSE_S = 10.0, 0.02


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A policy rule of the kernel."""

    version: int
    priority: int
    table: int
    mark: int | None = None
    """For all but what carries this mark. None: for whatever the table knows better than "everything"."""


class UndoRecord(msgspec.Struct, kw_only=True):
    """What was done to the machine, beside what goes with the link."""

    network: str
    """The network namespace it was done in, as `network_namespace` names it."""
    up: bool = False
    """Whether it came as far as PostUp, so that PostDown is due."""
    dns: str | None = None
    """By whom name servers were set."""
    firewall: bool = False
    forwarding: bool = False
    """Whether it is a gateway, which packets pass."""
    kill_switch: bool = False
    """Whether the firewall is one: then a crash leaves it closed, and the next start does not open it."""
    mark: int = 0
    """Of the datagrams that a kill switch lets pass."""
    endpoints: dict[str, str] = {}
    """Of a kill switch: what names stood for, as nobody can be asked while it is closed."""
    rules: list[Rule] = msgspec.field(default_factory=list)
    pre_down: tuple[str, ...] = ()
    post_down: tuple[str, ...] = ()


class UndoLog:
    """The record of one interface, held from `claim` to `release`."""

    def __init__(self, file: LockedFile) -> None:
        self._file = file

    @classmethod
    async def claim(cls, name: str) -> Self:
        """Waits a while for who is at work on it. Raises OSError; EBUSY where that takes too long."""
        deadline = time.monotonic() + _WAIT_S
        while True:
            file = LockedFile.claim(DIRECTORY / f"{name}.json")
            if file is not None:
                return cls(file)
            if time.monotonic() > deadline:
                text = f"{name} is being brought up or down by another process"
                raise OSError(errno.EBUSY, text)
            await asyncio.sleep(_PAUSE_S)

    def read(self) -> UndoRecord | None:
        """What is on record; None where nothing has to be undone."""
        line = self._file.read()
        try:
            return msgspec.json.decode(line, type=UndoRecord) if line else None
        except msgspec.DecodeError:
            # Of another version: what is recognisable by its name will be found.
            return UndoRecord(network=network_namespace(), firewall=True)

    def write(self, record: UndoRecord) -> None:
        """Puts it on record."""
        self._file.write(msgspec.json.encode(record))

    def forget(self) -> None:
        """Nothing has to be undone any more."""
        self._file.clear()

    def release(self) -> None:
        """Lets go of it."""
        self._file.release()


def network_namespace() -> str:
    """Names the network namespace we are in, for as long as it exists."""
    status = Path("/proc/self/ns/net").stat()
    return f"{status.st_dev}:{status.st_ino}"
