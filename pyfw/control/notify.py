"""Notifies systemd of start, reload, stop and status (sd_notify(3)), if NOTIFY_SOCKET is set.

An error never affects the tunnel: it is logged once.
"""

import os
import socket
import time
from collections.abc import MutableMapping

import structlog


class Notifier:
    """Sends notifications to the service manager.

    address: a path, or an abstract name (`@…`). None: sends nothing.
    """

    def __init__(self, address: str | None = None) -> None:
        self._address = address
        self._failed = False

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] = os.environ) -> "Notifier":
        """Takes NOTIFY_SOCKET out of the environment, so that hooks do not inherit it."""
        return cls(environment.pop("NOTIFY_SOCKET", None))

    def ready(self, status: str) -> None:
        """The service is up, or has finished a reload."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """The service reloads, until the next `ready`."""
        # Type=notify-reload compares it with the time of its signal (sd_notify(3)).
        now_usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now_usec}", "STATUS=Reloading")

    def stopping(self) -> None:
        """The service stops."""
        self._send("STOPPING=1", "STATUS=Draining")

    def status(self, status: str) -> None:
        """Sets the text shown by `systemctl status`."""
        self._send(f"STATUS={status}")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                # A full queue of the service manager must not block the tunnel.
                sender.setblocking(False)
                sender.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            if not self._failed:
                log = structlog.get_logger("pyfw")
                log.warning("service.notify_failed", socket=self._address, reason=str(error))
            self._failed = True
