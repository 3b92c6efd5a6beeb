"""What the demo writes while it runs: steps, a bar in place, colour where it is wanted."""

import os
from typing import TextIO

_BAR_CELLS = 30
_STYLES = {"good": "32", "bad": "1;31", "dim": "2", "bold": "1"}


class Terminal:
    """A stream that may be a terminal, or a file."""

    def __init__(self, stream: TextIO, *, quiet: bool = False) -> None:
        """`quiet`: progress only where someone looks at it."""
        self._stream = stream
        self._live = stream.isatty()
        self._quiet = quiet and not self._live
        # no-color.org: present and not empty.
        self.colour = self._live and not os.environ.get("NO_COLOR")

    def styled(self, text: str, style: str) -> str:
        """Colours a text, or leaves it."""
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self.colour else text

    def step(self, text: str) -> None:
        """Says what begins now."""
        if self._live:
            self._in_place(self.styled(text + " …", "dim"))
        elif not self._quiet:
            self.write(text)

    def progress(self, text: str, part: float) -> None:
        """Shows how far it is; only on a terminal."""
        if self._live:
            full = round(min(max(part, 0.0), 1.0) * _BAR_CELLS)
            bar = self.styled("━" * full, "good") + self.styled("━" * (_BAR_CELLS - full), "dim")
            self._in_place(f"{text:<16} {bar} {min(part, 1.0):4.0%}")

    def clear(self) -> None:
        """Removes what stands in place."""
        if self._live:
            self._in_place("")

    def write(self, text: str) -> None:
        """Writes lines."""
        self._stream.write(text + "\n")
        self._stream.flush()

    def _in_place(self, text: str) -> None:
        self._stream.write(f"\r\x1b[2K{text}")
        self._stream.flush()
