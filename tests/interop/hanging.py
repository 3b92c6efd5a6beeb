"""A stage that does not come back once it was told so: /run/hang says how, and is gone then."""

import ctypes
import time
from pathlib import Path

import pyfw

HANG_S = 3
_ASKED = Path("/run/hang")


class Hanging(pyfw.Stage):
    """Looks at its machine's /run, for each batch."""

    def process(self, batch: pyfw.FrameBatch) -> None:
        """Passes everything on, now or later."""
        if not _ASKED.exists():
            return
        how = _ASKED.read_text().strip()
        if not how:  # it is being written
            return
        _ASKED.unlink()
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
