"""The demo's progress output: steps, a progress bar, and colour on a terminal."""

import os
from typing import TextIO

_BAR_CELLS = 30
_STYLES = {"good": "32", "bad": "1;31", "dim": "2", "bold": "1"}


class Terminal:
    """A stream that is a terminal or a file."""

    def __init__(self, stream: TextIO, *, quiet: bool = False) -> None:
        """`quiet` writes progress only if the stream is a terminal."""
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._quiet = quiet and not self._is_terminal
        # no-color.org: the variable disables colour if it is set and not empty.
        self.colour = self._is_terminal and not os.environ.get("NO_COLOR")

    def styled(self, text: str, style: str) -> str:
        """Returns the text with colour, if colour is on."""
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self.colour else text

    def step(self, text: str) -> None:
        """Writes what begins now."""
        if self._is_terminal:
            self._replace_line(self.styled(text + " …", "dim"))
        elif not self._quiet:
            self.write(text)

    def progress(self, text: str, fraction: float) -> None:
        """Draws a progress bar, on a terminal only."""
        if self._is_terminal:
            full = round(min(max(fraction, 0.0), 1.0) * _BAR_CELLS)
            bar = self.styled("━" * full, "good") + self.styled("━" * (_BAR_CELLS - full), "dim")
            self._replace_line(f"{text:<16} {bar} {min(fraction, 1.0):4.0%}")

    def clear(self) -> None:
        """Erases the step or progress bar."""
        if self._is_terminal:
            self._replace_line("")

    def write(self, text: str) -> None:
        """Writes lines."""
        self._stream.write(text + "\n")
        self._stream.flush()

    def _replace_line(self, text: str) -> None:
        self._stream.write(f"\r\x1b[2K{text}")
        self._stream.flush()
