"""Writes a pcapng file that grows a batch at a time and always holds whole records.

A partial write is truncated and raises the system's error. A full file is rotated: a.pcapng becomes
a.1.pcapng, a.1.pcapng becomes a.2.pcapng, and only `keep` full files stay.
"""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from pyfw.observe import pcapng


class PcapngFile:
    """A pcapng file: opened at once, so that a wrong path is an early error, and emptied by the first write.

    size_bytes: the write that reaches it fills the file; 0: no limit. keep: full files that stay.
    """

    def __init__(
        self,
        path: Path,
        interface: str,
        snap_length: int = pcapng.SNAP_LENGTH_MAX,
        size_bytes: int = 0,
        keep: int = 0,
    ) -> None:
        self.path = path
        self.size_bytes = size_bytes
        self.keep = keep
        self._header = pcapng.header(interface, snap_length)
        self._descriptor = self._open()
        self._length: int | None = None

    def write(self, parts: Iterable[bytes | memoryview]) -> bool:
        """Appends records, the first time after a header. Returns False if the file is full.

        Raises OSError and closes the file, which then holds all earlier records.
        """
        try:
            if self._length is None:
                self._begin()
            records = b"".join(parts)
            self._append(records)
            if not records or not self.size_bytes or self._written() < self.size_bytes:
                return True
            if self.keep:
                self._rotate()
                return True
        except OSError:
            self.close()
            raise
        self.close()
        return False

    def close(self) -> None:
        """Closes the file. May be called twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _open(self) -> int:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.fchmod(descriptor, 0o600)  # for a file that existed
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _begin(self) -> None:
        self._length = 0
        if stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            os.ftruncate(self._descriptor, 0)
        self._append(self._header)

    def _append(self, data: bytes) -> None:
        before = self._written()
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            # Readers stop at a partial record. A pipe cannot be truncated.
            if stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                os.ftruncate(self._descriptor, before)
            raise
        self._length = before + len(data)

    def _written(self) -> int:
        assert self._length is not None
        return self._length

    def _rotate(self) -> None:
        for number in range(self.keep - 1, 0, -1):
            if self._numbered(number).exists():
                self._numbered(number).replace(self._numbered(number + 1))
        self.path.replace(self._numbered(1))
        self.close()
        self._descriptor = self._open()
        self._begin()

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.stem}.{number}{self.path.suffix}")
