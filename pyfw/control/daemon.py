"""One tunnel as a daemon: descriptors, UAPI socket, surroundings; from start to a clean end.

It ends when it is told to, when its link or its socket is deleted, or when its engine ends. Idle, it sleeps:
everything here waits on descriptors in one event loop. Signals are the process's: see pyfw.control.service,
which runs one or several of these.
"""

import asyncio
import errno
import os
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import structlog
from msgspec.structs import replace

from pyfw import config as configuration
from pyfw.config import Config, ConfigError, Settings
from pyfw.control import saved
from pyfw.control.host.step_reporter import StepReporter
from pyfw.control.interface_setup import InterfaceSetup
from pyfw.control.link_watch import LinkWatch
from pyfw.control.resolve import resolve
from pyfw.control.uapi import client, protocol, server
from pyfw.control.uapi.server import UapiServer
from pyfw.pipeline import Pipeline
from pyfw.stage import Stage
from pyfw.stages.find import find
from pyfw.tunnel import Tunnel

EXIT_OK, EXIT_FAILED, EXIT_PANIC = 0, 1, 70
"""70: EX_SOFTWARE of sysexits.h, a thread of the engine panicked."""

_STATUS = {"panic": EXIT_PANIC, "stage": EXIT_FAILED, "system error": EXIT_FAILED}
"""By how the engine's reason begins, where it ended by itself and its link was not deleted."""


class Daemon:
    """Runs one tunnel: `start`, `ended`, `close`.

    name: of the interface.
    config: what it shall be; None leaves all to the UAPI socket, as with wireguard-go.
    config_path: read again at SIGHUP.
    tun_fd, uapi_fd: descriptors that were handed over.
    steps: told what is done to the machine; without, it is logged.
    """

    def __init__(
        self,
        name: str,
        config: Config | None = None,
        *,
        config_path: str | os.PathLike[str] | None = None,
        settings: Settings | None = None,
        tun_fd: int | None = None,
        uapi_fd: int | None = None,
        pipeline: Pipeline | None = None,
        steps: StepReporter | None = None,
    ) -> None:
        self._config = config
        self._config_path = Path(config_path).absolute() if config_path is not None else None
        self._settings = settings or (config.settings if config else Settings())
        self._uapi_fd = uapi_fd
        self._tun_fd = tun_fd
        self._pipeline = pipeline or Pipeline(self._settings)
        self._told_to_stop = asyncio.Event()
        self._reason = ""
        self._applied = config
        self._found: list[Stage] = []
        self._stack: AsyncExitStack | None = None
        self._log = structlog.get_logger("pyfw").bind(interface=name)
        self._steps = steps or StepReporter(name)
        self._quick = InterfaceSetup(name, self._steps, self._set_mark) if config else None
        self.name = name

    # Life

    async def start(self) -> bool:
        """Brings it up. Raises OSError where that fails; then everything is undone.

        False where it was told to stop on the way: everything is undone as well.
        """
        starting = asyncio.ensure_future(self._start())
        if await _first(starting, self._told_to_stop):
            await starting
            return True
        self._log.info("stopped before it was up", reason=self._reason)
        return False

    async def ended(self) -> int:
        """Until something ends it; `close` has to follow. Returns the exit status."""
        waiting = asyncio.ensure_future(self._tunnel.wait())
        reason = waiting.result() if await _first(waiting, self._told_to_stop) else self._reason
        status = next((_STATUS[kind] for kind in _STATUS if reason.startswith(kind)), EXIT_OK)
        (self._log.error if status else self._log.info)("stopping", reason=reason)
        return status

    async def close(self) -> None:
        """Drains what is queued and undoes what was done. May be called twice."""
        stack, self._stack = self._stack, None
        if stack is not None:
            await stack.aclose()

    def stop(self, reason: str = "stopped") -> None:
        """Ends `start` or `ended`, in order."""
        self._reason = self._reason or reason
        self._told_to_stop.set()

    @property
    def is_up(self) -> bool:
        """Between `start` and its end."""
        return self._stack is not None and not self._told_to_stop.is_set()

    @property
    def has_left_behind(self) -> bool:
        """Whether a thread has not come back from a stage, though the tunnel is closed."""
        return self._pipeline.stages.has_left_behind

    async def _start(self) -> None:
        async with AsyncExitStack() as stack:
            config = self._config
            given = self._tun_fd is not None or self._uapi_fd is not None
            if self._quick is None and not given and client.answers(self.name):
                raise OSError(errno.EADDRINUSE, f"{self.name} runs already")
            if self._quick is not None and config is not None:
                stack.push_async_callback(self._quick.end)
                await self._quick.begin(config, given=given)
                # Not earlier: PreUp may bring up what names are looked up by.
                config = self._applied = await self._resolve(config, self._quick)
                self._steps.step(f"ip tuntap add mode tun dev {self.name}")
                stripped = f"<(pyfw strip {self._config_path or self.name})"
                self._steps.step(f"wg setconf {self.name} {stripped}")
            tunnel = self._tunnel = Tunnel(
                self.name,
                config,
                settings=self._settings,
                tun_fd=self._tun_fd,
                listen_port=(config.interface.listen_port if config else None) or 0,
                pipeline=self._pipeline,
            )
            await stack.enter_async_context(tunnel)
            self.name = tunnel.name
            self._log = self._log.bind(interface=self.name)
            listener = self._listener()
            stack.callback(listener.close)
            server = UapiServer(tunnel, listener, lambda: self.stop("socket deleted"))
            stack.push_async_callback(server.close)
            watch = LinkWatch(
                self.name,
                tunnel.tun_fd,
                on_mtu=self._mtu_changed,
                on_deleted=lambda: self.stop("link deleted"),
            )
            stack.push_async_callback(watch.close)
            stack.push_async_callback(self._down)
            await watch.start()
            # Before it is up: hooks speak to it.
            server.start()
            if self._quick is not None and config is not None:
                tunnel.set_mtu(await self._quick.up(config))
            self._log.info("started", listen_port=self.listen_port)
            self._stack = stack.pop_all()

    # Another configuration

    async def read(self) -> Config | None:
        """Its files, read again; None where it has none. Raises ConfigError and OSError."""
        if self._config_path is None:
            return None
        config = configuration.load(self._config_path)
        config = await (self._resolve(config, self._quick) if self._quick else resolve(config))
        self._found = find(config.settings.stages) if config.settings.stages else []
        return config

    def files(self) -> list[Path]:
        """What a reload reads: the configuration's files, and those of its stages."""
        if self._config_path is None:
            return []
        beside = self._config_path.with_suffix(".pyfw.toml")
        return [self._config_path, beside, *self._tunnel.stage_files()]

    async def _resolve(self, config: Config, quick: InterfaceSetup) -> Config:
        resolved = await resolve(config, quick.known_endpoints)
        quick.note_endpoints(config, resolved)
        return resolved

    async def apply(self, config: Config) -> bool:
        """Changes what differs, as `wg syncconf`: peers that stay lose nothing.

        Stages are exchanged between two batches; one that cannot start changes nothing. What the machine
        refuses is logged, and what was in force before is put back.
        """
        before = self._applied
        try:
            # Not here: a stage that is being called is waited for.
            await asyncio.to_thread(
                self._tunnel.set_stages, config.settings.stages, self._found, found=True
            )
        except (ConfigError, RuntimeError) as error:
            for line in str(error).splitlines():
                self._log.error("reload refused", reason=line)
            return False
        try:
            await self._sync(config)
        except OSError as error:
            self._log.error("reload failed", reason=str(error))
            if before is not None:
                try:
                    await self._sync(before)
                except OSError as again:
                    self._log.error("not put back", reason=str(again))
            return False
        if _at_start(config.settings) != _at_start(self._settings):
            self._log.warning("restart to apply the settings of the .pyfw.toml")
        self._config = self._applied = config
        self._log.info("reloaded", peers=len(config.peers))
        return True

    async def _sync(self, config: Config) -> None:
        self._tunnel.sync(config)
        if self._quick is not None:
            self._tunnel.set_mtu(await self._quick.sync(config))

    # What it says

    @property
    def listen_port(self) -> int:
        """In use now."""
        port: int = self._tunnel.engine.configuration()["listen_port"]
        return port

    @property
    def status(self) -> str:
        """In a few words."""
        return f"{self.name}: port {self.listen_port}, {len(self._tunnel.peers())} peers"

    def log_counters(self) -> None:
        """Writes them to the log."""
        self._log.info("counters", **self._tunnel.counters())

    async def _down(self) -> None:
        if self._quick is None:
            return
        try:
            await self._quick.down(self._save)
        except OSError as error:
            self._log.error("not taken down", reason=str(error))

    async def _save(self) -> None:
        config = self._config
        if config is not None and config.interface.save_config and self._config_path is not None:
            device = client.parsed(self.name, protocol.get(self._tunnel))
            await saved.save(self._config_path, config, device)

    def _set_mark(self, mark: int) -> None:
        self._tunnel.set_own_fwmark(mark)

    def _listener(self) -> socket.socket:
        if self._uapi_fd is not None:
            return socket.socket(fileno=self._uapi_fd)
        return server.listen(self.name)

    def _mtu_changed(self, mtu: int) -> None:
        if self._tunnel.is_open:
            self._tunnel.set_mtu(mtu)


def _at_start(settings: Settings) -> Settings:
    """What of them counts at the start only."""
    return replace(settings, stages=(), role=None, isolate_peers=True, kill_switch=False)


async def _first(task: asyncio.Future[Any], event: asyncio.Event) -> bool:
    """Whether a task ended before an event came; else it is cancelled, and has undone what it did."""
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        return task.done()
    finally:
        for one in (task, waiting):
            if not one.done():
                one.cancel()
                await asyncio.gather(one, return_exceptions=True)
