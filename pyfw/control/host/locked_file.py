"""A file of one line that one process at a time may hold: what is on record outlives whoever wrote it.

A write is whole, whenever its writer is killed: the line counts up to its end, and is written in one piece.
A file that is empty when it is let go of is taken away. It is its owner's alone.
"""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Self


class LockedFile:
    """A file, from `claim` to `release`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def claim(cls, path: Path, *, wait: bool = False) -> Self | None:
        """Makes it, if need be, and locks it. None where another holds it, unless told to wait."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        how = fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(descriptor, how)
            except BlockingIOError:
                os.close(descriptor)
                return None
            except BaseException:
                os.close(descriptor)
                raise
            held = cls(path, descriptor)
            if held._is_there():
                return held
            # Who held it before us has taken it away.
            os.close(descriptor)

    def read(self) -> bytes:
        """The line, without its end; empty at first."""
        size = os.fstat(self._descriptor).st_size
        return os.pread(self._descriptor, size, 0).partition(b"\n")[0]

    def write(self, line: bytes) -> None:
        """Replaces the line."""
        os.pwrite(self._descriptor, line + b"\n", 0)
        os.ftruncate(self._descriptor, len(line) + 1)

    def clear(self) -> None:
        """Takes the file away; others may make a new one."""
        os.ftruncate(self._descriptor, 0)
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    def release(self) -> None:
        """Lets go of it. May be called twice."""
        if self._descriptor < 0:
            return
        if not self.read() and self._is_there():
            self.clear()
        os.close(self._descriptor)
        self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.release()

    def _is_there(self) -> bool:
        try:
            there = self._path.lstat()
        except FileNotFoundError:
            return False
        held = os.fstat(self._descriptor)
        return (held.st_dev, held.st_ino) == (there.st_dev, there.st_ino)
