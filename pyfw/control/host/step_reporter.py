"""Reports each step while it is done: as `[#] command` on a terminal, like wg-quick, or in the log."""

import sys
from typing import Any

import structlog


class StepReporter:
    """Reports the steps of one interface.

    to_terminal: writes to standard error in wg-quick's form, until `switch_to_log`.
    """

    def __init__(self, interface: str, *, to_terminal: bool = False) -> None:
        self._log: Any = structlog.get_logger("pyfw").bind(interface=interface)
        self._to_terminal = to_terminal

    def switch_to_log(self) -> None:
        """Writes to the log from now on, because the daemon leaves its terminal."""
        self._to_terminal = False

    def step(self, command: str) -> None:
        """Reports a step by the shell command that does the same."""
        if self._to_terminal:
            print(f"[#] {command}", file=sys.stderr, flush=True)
        else:
            self._log.info("setup.step", command=command)

    def warning(self, event: str, reason: str) -> None:
        """Reports a problem after which the work goes on: `event` in the log, `reason` in both."""
        if self._to_terminal:
            print(f"[!] {reason}", file=sys.stderr, flush=True)
        else:
            self._log.warning(event, reason=reason)
