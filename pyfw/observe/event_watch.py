"""Calls a function whenever a descriptor becomes readable, in the running event loop or in a thread.

Both watchers cost nothing while the descriptor is quiet. `drain` reads the events; once it returns a reason,
the source has ended and the watcher stops.
"""

import asyncio
import os
import select
import threading
from collections.abc import Callable


class LoopWatch:
    """Watches in the running event loop."""

    def __init__(self, descriptor: int, drain: Callable[[], str | None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._descriptor = descriptor
        self._drain = drain
        self.ended: asyncio.Future[str] = self._loop.create_future()
        self._loop.add_reader(descriptor, self._ready)

    def _ready(self) -> None:
        reason = self._drain()
        if reason is not None:
            self._loop.remove_reader(self._descriptor)
            if not self.ended.done():
                self.ended.set_result(reason)

    def stop(self) -> None:
        """Drains once more and stops."""
        self._loop.remove_reader(self._descriptor)
        self._drain()
        if not self.ended.done():
            self.ended.set_result("closed")


class ThreadWatch:
    """Watches in a thread of its own."""

    def __init__(self, descriptor: int, drain: Callable[[], str | None]) -> None:
        self._descriptor = descriptor
        self._drain = drain
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._reason: str | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pyfw-events", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        try:
            while self._reason is None:
                ready = dict(poll.poll())
                self._reason = self._drain()
                if self._wake in ready:
                    break
        finally:
            self._done.set()

    def wait(self, timeout_s: float | None) -> str | None:
        """Waits until the source has ended. Returns the reason, or None after the timeout."""
        self._done.wait(timeout_s)
        return self._reason

    def stop(self) -> None:
        """Drains once more and stops."""
        os.eventfd_write(self._wake, 1)
        if threading.current_thread() is not self._thread:
            self._thread.join()
            os.close(self._wake)
