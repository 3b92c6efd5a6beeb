"""Runs one or more tunnels as a process, with one event loop, and handles signals.

    SIGTERM SIGINT   drain and exit
    SIGHUP           read all files again, as `wg syncconf`: peers that stay lose no packet
    SIGUSR1          write the counters to the log

All tunnels come up, or none. After that each is independent, and the process ends with the last one. A reload
reads all files first; if one has an error, nothing changes for any tunnel.
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
from pyfw.control import exit_status
from pyfw.control.daemon import Daemon
from pyfw.control.notify import Notifier

_FILE_POLL_S = 0.5

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


class StartFailed(Exception):
    """A tunnel did not come up, and everything is undone."""

    def __init__(self, name: str, error: OSError | ValueError) -> None:
        super().__init__(f"{name}: {error}")
        self.name = name
        self.error = error
        """The error of the system or the engine."""


def run_service(serving: Coroutine[Any, Any, int]) -> int:
    """Runs `serve` until the end of the process. A second signal does not interrupt the shutdown."""

    async def run() -> int:
        try:
            return await serving
        finally:
            # The loop is about to restore the default handlers, which would kill the process.
            signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)

    return asyncio.run(run())


async def serve(
    daemons: Sequence[Daemon],
    *,
    on_ready: Callable[[], None] | None = None,
    notifier: Notifier | None = None,
    watch: bool = False,
) -> int:
    """Runs daemons until all have ended, and returns the worst exit status. Raises StartFailed.

    on_ready: called once all are up.
    watch: reloads when one of their files changes.
    """
    return await _Service(daemons, notifier or Notifier()).run(on_ready, watch)


class _Service:
    def __init__(self, daemons: Sequence[Daemon], notifier: Notifier) -> None:
        self._daemons = daemons
        self._notifier = notifier
        self._reload_task: asyncio.Task[bool] | None = None
        self._watch_task: asyncio.Task[None] | None = None
        self._reload_again = False

    async def run(self, on_ready: Callable[[], None] | None, watch: bool) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number.name)
        loop.add_signal_handler(signal.SIGHUP, self._request_reload)
        loop.add_signal_handler(signal.SIGUSR1, self._log_counters)
        try:
            for daemon in self._daemons:
                try:
                    if not await daemon.start():
                        return exit_status.OK
                except (OSError, ValueError) as error:
                    raise StartFailed(daemon.name, error) from error
            # Keeps later collections short: one that walks all objects holds the GIL for some 50 ms, and
            # delays batches on their way to a stage.
            gc.collect()
            gc.freeze()
            if on_ready is not None:
                on_ready()
            self._notify_ready()
            if watch:
                self._watch_task = asyncio.ensure_future(self._watch_files())
            return max(await asyncio.gather(*map(self._run_to_end, self._daemons)))
        finally:
            if self._watch_task is not None:
                self._watch_task.cancel()
            for daemon in reversed(self._daemons):
                await daemon.close()

    async def _watch_files(self) -> None:
        """Reloads after a change of a file. Polls, as inotify misses renames by editors, and mounts."""
        known = self._file_states()
        while True:
            await asyncio.sleep(_FILE_POLL_S)
            now = self._file_states()
            if now != known:
                self._request_reload()
            known = now

    def _file_states(self) -> dict[Path, tuple[int, int]]:
        states: dict[Path, tuple[int, int]] = {}
        for daemon in (one for one in self._daemons if one.is_up):
            for file in daemon.files():
                with contextlib.suppress(OSError):  # missing
                    status = file.stat()
                    states[file] = (status.st_mtime_ns, status.st_size)
        return states

    async def _run_to_end(self, daemon: Daemon) -> int:
        status = await daemon.ended()
        await daemon.close()
        if any(other.is_up for other in self._daemons):
            self._notifier.status(self._status())
        return status

    def _stop(self, reason: str) -> None:
        self._notifier.stopping()
        for daemon in self._daemons:
            daemon.stop(reason)

    def _request_reload(self) -> None:
        if self._reload_task is None:
            self._reload_task = asyncio.ensure_future(self._reload_all())
        else:
            # The running reload may have read the files before the change that this signal reports.
            self._reload_again = True

    async def _reload_all(self) -> bool:
        self._notifier.reloading()
        try:
            return await reload(self._daemons)
        finally:
            self._reload_task = None
            if self._reload_again:
                self._reload_again = False
                self._request_reload()
            else:
                self._notify_ready()

    def _notify_ready(self) -> None:
        self._notifier.ready(self._status())

    def _status(self) -> str:
        return "; ".join(daemon.status for daemon in self._daemons if daemon.is_up)

    def _log_counters(self) -> None:
        for daemon in self._daemons:
            if daemon.is_up:
                daemon.log_counters()


async def reload(daemons: Sequence[Daemon]) -> bool:
    """Reads the files of all running daemons and applies what differs. Returns whether all succeeded.

    If a file has errors, logs them and changes nothing.
    """
    log = structlog.get_logger("pyfw")
    read: list[tuple[Daemon, Config]] = []
    failed = False
    for daemon in (one for one in daemons if one.is_up):
        log = log.bind(interface=daemon.name)
        try:
            config = await daemon.read()
        except ConfigError as error:
            failed = True
            for problem in error.problems:
                log.error("reload.refused", reason=str(problem))
        except OSError as error:
            failed = True
            log.error("reload.failed", reason=str(error))
        else:
            if config is None:
                log.warning("reload.skipped", reason="the tunnel was started without a file")
                continue
            for warning in config.warnings:
                log.warning("config.warning", reason=str(warning))
            read.append((daemon, config))
    if failed or not read:
        return False
    return all([await daemon.apply(config) for daemon, config in read if daemon.is_up])
