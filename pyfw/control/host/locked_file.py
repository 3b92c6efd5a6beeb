"""A file of one line that at most one process holds at a time. Its content survives the process.

A write is atomic even if the process is killed: only the first line counts, and one system call writes it. A
file that is empty when it is released is deleted.
"""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Self


class LockedFile:
    """A file that this process holds, from `claim` to `release`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def claim(cls, path: Path, *, wait: bool = False) -> Self | None:
        """Creates the file if needed, and locks it. Returns None if it is locked, unless `wait`."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        operation = fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(descriptor, operation)
            except BlockingIOError:
                os.close(descriptor)
                return None
            except BaseException:
                os.close(descriptor)
                raise
            claimed = cls(path, descriptor)
            if claimed._is_linked():
                return claimed
            # The previous holder has deleted the file.
            os.close(descriptor)

    def read(self) -> bytes:
        """Returns the line without its newline; empty if nothing was written."""
        size = os.fstat(self._descriptor).st_size
        return os.pread(self._descriptor, size, 0).partition(b"\n")[0]

    def write(self, line: bytes) -> None:
        """Replaces the line."""
        os.pwrite(self._descriptor, line + b"\n", 0)
        os.ftruncate(self._descriptor, len(line) + 1)

    def clear(self) -> None:
        """Deletes the file. Other processes may create a new one."""
        os.ftruncate(self._descriptor, 0)
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    def release(self) -> None:
        """Unlocks the file. May be called twice."""
        if self._descriptor < 0:
            return
        if not self.read() and self._is_linked():
            self.clear()
        os.close(self._descriptor)
        self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.release()

    def _is_linked(self) -> bool:
        """Whether the path still leads to this file."""
        try:
            linked = self._path.lstat()
        except FileNotFoundError:
            return False
        own = os.fstat(self._descriptor)
        return (own.st_dev, own.st_ino) == (linked.st_dev, linked.st_ino)
