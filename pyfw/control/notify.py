"""What systemd is told (sd_notify(3)): ready, reloading, stopping, and a line of status.

In: NOTIFY_SOCKET, a path or an abstract name (`@…`). Out: one datagram a change. Without it nothing is said;
where nobody listens any more the tunnel goes on, and a line in the log says so once.
"""

import os
import socket
import time
from collections.abc import MutableMapping

import structlog


class Notifier:
    """Speaks to the service manager."""

    def __init__(self, address: str | None = None) -> None:
        self._address = address
        self._failed = False

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] = os.environ) -> "Notifier":
        """The one that we were started with. Hooks and other children do not inherit it."""
        return cls(environment.pop("NOTIFY_SOCKET", None))

    def ready(self, status: str) -> None:
        """Up, or done with a reload."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """Until the next `ready`."""
        # Type=notify-reload compares it with the time of its signal (sd_notify(3)).
        now_usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now_usec}", "STATUS=Reloading")

    def stopping(self) -> None:
        """On the way to the end."""
        self._send("STOPPING=1", "STATUS=Draining")

    def status(self, status: str) -> None:
        """Words for `systemctl status`."""
        self._send(f"STATUS={status}")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
                # A full queue of the manager's shall not hold up the tunnel.
                to.setblocking(False)
                to.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            if not self._failed:
                log = structlog.get_logger("pyfw")
                log.warning("service manager not told", socket=self._address, reason=str(error))
            self._failed = True
