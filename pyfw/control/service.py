"""Tunnels as a process: one event loop, one set of signals, one word to the service manager.

    SIGTERM SIGINT   drain and end
    SIGHUP           read all files again, as `wg syncconf`: peers that stay lose nothing
    SIGUSR1          write the counters to the log

All tunnels come up, or none. Then each lives by itself: one that ends, ends alone, and the process with the
last. A reload reads all files first, and one that is wrong changes nothing anywhere.
"""

import asyncio
import contextlib
import gc
import signal
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import structlog

from pyfw.config import Config, ConfigError
from pyfw.control.daemon import EXIT_OK, Daemon
from pyfw.control.notify import Notifier

_WATCH_S = 0.5

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


class StartFailed(Exception):
    """A tunnel did not come up; nothing of it is left."""

    def __init__(self, name: str, error: OSError | ValueError) -> None:
        super().__init__(f"{name}: {error}")
        self.name = name
        self.error = error
        """What the machine, or the engine, refused."""


def run_to_end(serving: Coroutine[Any, Any, int]) -> int:
    """`serve`, as the last thing this process does: a second signal does not cut the end short."""

    async def to_the_end() -> int:
        try:
            return await serving
        finally:
            # The loop is about to give the signals back to the system, which would kill us.
            signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)

    return asyncio.run(to_the_end())


async def serve(
    daemons: Sequence[Daemon],
    *,
    on_ready: Callable[[], None] | None = None,
    notifier: Notifier | None = None,
    watch: bool = False,
) -> int:
    """Runs them to their end and returns the worst exit status. Raises StartFailed.

    on_ready: called once all of them are up. watch: whether a change of their files is a SIGHUP.
    """
    return await _Process(daemons, notifier or Notifier()).run(on_ready, watch)


class _Process:
    def __init__(self, daemons: Sequence[Daemon], notifier: Notifier) -> None:
        self._daemons = daemons
        self._notifier = notifier
        self._reload: asyncio.Task[bool] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._once_more = False

    async def run(self, on_ready: Callable[[], None] | None, watch: bool) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number.name)
        loop.add_signal_handler(signal.SIGHUP, self._reload_soon)
        loop.add_signal_handler(signal.SIGUSR1, self._log_counters)
        try:
            for daemon in self._daemons:
                try:
                    if not await daemon.start():
                        return EXIT_OK
                except (OSError, ValueError) as error:
                    raise StartFailed(daemon.name, error) from error
            # What is there now stays: a later collection that walked all of it would hold the interpreter,
            # and batches on their way to a stage with it, for some 50 ms.
            gc.collect()
            gc.freeze()
            if on_ready is not None:
                on_ready()
            self._say_ready()
            if watch:
                self._watching = asyncio.ensure_future(self._watch())
            return max(await asyncio.gather(*map(self._to_its_end, self._daemons)))
        finally:
            if self._watching is not None:
                self._watching.cancel()
            for daemon in reversed(self._daemons):
                await daemon.close()

    async def _watch(self) -> None:
        """Looks twice a second at the files: an editor's rename or a mount escapes inotify."""
        known = self._file_states()
        while True:
            await asyncio.sleep(_WATCH_S)
            now = self._file_states()
            if now != known:
                self._reload_soon()
            known = now

    def _file_states(self) -> dict[Path, tuple[int, int]]:
        states: dict[Path, tuple[int, int]] = {}
        for daemon in (one for one in self._daemons if one.is_up):
            for file in daemon.files():
                with contextlib.suppress(OSError):  # one that is not there has no state
                    status = file.stat()
                    states[file] = (status.st_mtime_ns, status.st_size)
        return states

    async def _to_its_end(self, daemon: Daemon) -> int:
        status = await daemon.ended()
        await daemon.close()
        if any(other.is_up for other in self._daemons):
            self._notifier.status(self._status())
        return status

    def _stop(self, reason: str) -> None:
        self._notifier.stopping()
        for daemon in self._daemons:
            daemon.stop(reason)

    def _reload_soon(self) -> None:
        if self._reload is None:
            self._reload = asyncio.ensure_future(self._reload_all())
        else:
            # What is being read may be older than what the signal means.
            self._once_more = True

    async def _reload_all(self) -> bool:
        self._notifier.reloading()
        try:
            return await reload(self._daemons)
        finally:
            self._reload = None
            if self._once_more:
                self._once_more = False
                self._reload_soon()
            else:
                self._say_ready()

    def _say_ready(self) -> None:
        self._notifier.ready(self._status())

    def _status(self) -> str:
        return "; ".join(daemon.status for daemon in self._daemons if daemon.is_up)

    def _log_counters(self) -> None:
        for daemon in self._daemons:
            if daemon.is_up:
                daemon.log_counters()


async def reload(daemons: Sequence[Daemon]) -> bool:
    """Reads the files of all that are up, and applies what changed.

    Where one of them is wrong, that is logged, and nothing is applied to any.
    """
    log = structlog.get_logger("pyfw")
    read: list[tuple[Daemon, Config]] = []
    refused = False
    for daemon in (one for one in daemons if one.is_up):
        log = log.bind(interface=daemon.name)
        try:
            config = await daemon.read()
        except ConfigError as error:
            refused = True
            for problem in error.problems:
                log.error("reload refused", reason=str(problem))
        except OSError as error:
            refused = True
            log.error("reload failed", reason=str(error))
        else:
            if config is None:
                log.warning("nothing to reload", reason="started without a file")
                continue
            for warning in config.warnings:
                log.warning("configuration", reason=str(warning))
            read.append((daemon, config))
    if refused or not read:
        return False
    return all([await daemon.apply(config) for daemon, config in read if daemon.is_up])
