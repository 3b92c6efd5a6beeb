"""What is being done, told as it is done: `[#] command` on a terminal, as wg-quick does, or in the log."""

import sys
from typing import Any

import structlog


class StepReporter:
    """Tells the steps of one interface.

    to_terminal: on standard error, in wg-quick's form, until the tunnel goes into the background and
    `to_log` is called.
    """

    def __init__(self, interface: str, *, to_terminal: bool = False) -> None:
        self._log: Any = structlog.get_logger("pyfw").bind(interface=interface)
        self._to_terminal = to_terminal

    def to_log(self) -> None:
        """From now on there is no terminal."""
        self._to_terminal = False

    def step(self, command: str) -> None:
        """Something is done; `command` would do it, typed at a shell."""
        if self._to_terminal:
            print(f"[#] {command}", file=sys.stderr, flush=True)
        else:
            self._log.info("step", command=command)

    def warning(self, text: str, **fields: str) -> None:
        """Something is not as asked, and it goes on."""
        if self._to_terminal:
            told = "".join(f"; {key}: {value}" for key, value in fields.items())
            print(f"[!] {text}{told}", file=sys.stderr, flush=True)
        else:
            self._log.warning(text, **fields)
