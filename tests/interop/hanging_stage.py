"""A stage that hangs once, in the way that /run/hang names; it deletes the file first."""

import ctypes
import time
from pathlib import Path

import pyfw

HANG_S = 3
_REQUEST = Path("/run/hang")


class Hanging(pyfw.Stage):
    """Looks for the file at each batch."""

    def process(self, batch: pyfw.FrameBatch) -> None:
        """Passes everything, at once or after the hang."""
        if not _REQUEST.exists():
            return
        how = _REQUEST.read_text().strip()
        if not how:  # it is being written
            return
        _REQUEST.unlink()
        if how == "sleep":
            time.sleep(HANG_S)
        elif how == "loop":
            end = time.monotonic() + HANG_S
            while time.monotonic() < end:
                pass
        elif how == "interpreter held":
            ctypes.PyDLL(None).sleep(HANG_S)
        elif how == "for ever":
            time.sleep(1_000_000)
