"""Runs a tunnel as a daemon: descriptors, UAPI socket, host network, from start to a clean end.

A daemon ends when `stop` is called, when its link or its socket is deleted, or when its engine ends.
Everything waits on descriptors in one event loop, so an idle daemon does not wake up. Signals are handled by
pyfw.control.service.
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
from pyfw.control import exit_status, save_config
from pyfw.control.host.step_reporter import StepReporter
from pyfw.control.interface_setup import InterfaceSetup
from pyfw.control.link_watch import LinkWatch
from pyfw.control.resolve import resolve
from pyfw.control.uapi import client, protocol, server
from pyfw.control.uapi.server import UapiServer
from pyfw.pipeline import Pipeline
from pyfw.stage import Stage
from pyfw.stages.load import load_stages
from pyfw.tunnel import Tunnel

# By the start of the reason for which the engine ended by itself. Other reasons, such as a deleted link, are
# OK.
_STATUS = {
    "panic": exit_status.PANIC,
    "stage": exit_status.FAILED,
    "system error": exit_status.FAILED,
}


class Daemon:
    """Runs one tunnel: `start`, `ended`, `close`.

    name: the name of the interface.
    config: the configuration; None leaves it to the UAPI socket, as with wireguard-go.
    config_path: the file to read at a reload.
    tun_fd, uapi_fd: descriptors that were passed to the process.
    steps: reports the changes to the host; by default to the log.
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
        self._stop_requested = asyncio.Event()
        self._reason = ""
        self._applied = config
        self._stages: list[Stage] = []
        self._stack: AsyncExitStack | None = None
        self._log = structlog.get_logger("pyfw").bind(interface=name)
        self._steps = steps or StepReporter(name)
        self._setup = InterfaceSetup(name, self._steps, self._set_mark) if config else None
        self.name = name

    async def start(self) -> bool:
        """Brings the tunnel up. Raises OSError if that fails; everything is undone then.

        Returns False if `stop` was called meanwhile; everything is undone, too.
        """
        starting = asyncio.ensure_future(self._start())
        if await _first(starting, self._stop_requested):
            await starting
            return True
        self._log.info("tunnel.start_cancelled", reason=self._reason)
        return False

    async def ended(self) -> int:
        """Waits until the daemon ends, and returns the exit status. `close` must follow."""
        waiting = asyncio.ensure_future(self._tunnel.wait())
        reason = waiting.result() if await _first(waiting, self._stop_requested) else self._reason
        status = next(
            (_STATUS[kind] for kind in _STATUS if reason.startswith(kind)), exit_status.OK
        )
        (self._log.error if status else self._log.info)("tunnel.stopping", reason=reason)
        return status

    async def close(self) -> None:
        """Drains the tunnel and undoes all changes. May be called twice."""
        stack, self._stack = self._stack, None
        if stack is not None:
            await stack.aclose()

    def stop(self, reason: str = "stopped") -> None:
        """Makes `start` or `ended` return."""
        self._reason = self._reason or reason
        self._stop_requested.set()

    @property
    def is_up(self) -> bool:
        """Whether the tunnel is up and not about to stop."""
        return self._stack is not None and not self._stop_requested.is_set()

    @property
    def has_left_behind(self) -> bool:
        """Whether a thread is still inside a stage, though the tunnel is closed."""
        return self._pipeline.stages.has_left_behind

    async def _start(self) -> None:
        async with AsyncExitStack() as stack:
            config = self._config
            is_passed = self._tun_fd is not None or self._uapi_fd is not None
            if self._setup is None and not is_passed and client.is_running(self.name):
                raise OSError(errno.EADDRINUSE, f"{self.name} is already running")
            if self._setup is not None and config is not None:
                stack.push_async_callback(self._setup.end)
                await self._setup.begin(config, is_passed=is_passed)
                # Not before PreUp, which may bring up the network that DNS needs.
                config = self._applied = await self._resolve(config, self._setup)
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
            # Before PostUp: hooks may use the socket.
            server.start()
            if self._setup is not None and config is not None:
                tunnel.set_mtu(await self._setup.up(config))
            self._log.info("tunnel.started", listen_port=self.listen_port)
            self._stack = stack.pop_all()

    async def read(self) -> Config | None:
        """Reads the files again; returns None if there are none. Raises ConfigError or OSError."""
        if self._config_path is None:
            return None
        config = configuration.load(self._config_path)
        config = await (self._resolve(config, self._setup) if self._setup else resolve(config))
        self._stages = load_stages(config.settings.stages) if config.settings.stages else []
        return config

    def files(self) -> list[Path]:
        """Returns the files that a reload reads: configuration and stages."""
        if self._config_path is None:
            return []
        toml = self._config_path.with_suffix(".pyfw.toml")
        return [self._config_path, toml, *self._tunnel.stage_files()]

    async def _resolve(self, config: Config, setup: InterfaceSetup) -> Config:
        resolved = await resolve(config, setup.known_endpoints)
        setup.remember_endpoints(config, resolved)
        return resolved

    async def apply(self, config: Config) -> bool:
        """Applies what differs, as `wg syncconf` does: peers that stay lose no packet.

        Stages are replaced between two batches; if one cannot start, nothing changes. If the system refuses a
        change, logs the error and restores the previous configuration.
        """
        before = self._applied
        try:
            # In a thread, as it waits for a stage that is being called.
            await asyncio.to_thread(
                self._tunnel.set_stages, config.settings.stages, self._stages, found=True
            )
        except (ConfigError, RuntimeError) as error:
            for line in str(error).splitlines():
                self._log.error("reload.refused", reason=line)
            return False
        try:
            await self._sync(config)
        except OSError as error:
            self._log.error("reload.failed", reason=str(error))
            if before is not None:
                try:
                    await self._sync(before)
                except OSError as second:
                    self._log.error("reload.rollback_failed", reason=str(second))
            return False
        if _settings_at_start(config.settings) != _settings_at_start(self._settings):
            text = "some settings in NAME.pyfw.toml change at a restart only"
            self._log.warning("config.restart_needed", reason=text)
        self._config = self._applied = config
        self._log.info("reload.applied", peers=len(config.peers))
        return True

    async def _sync(self, config: Config) -> None:
        self._tunnel.sync(config)
        if self._setup is not None:
            self._tunnel.set_mtu(await self._setup.sync(config))

    @property
    def listen_port(self) -> int:
        """The port in use."""
        return self._tunnel.engine.configuration().listen_port

    @property
    def status(self) -> str:
        """A summary for `systemctl status`."""
        return f"{self.name}: port {self.listen_port}, {len(self._tunnel.peers())} peers"

    def log_counters(self) -> None:
        """Writes the counters to the log."""
        self._log.info("tunnel.counters", **self._tunnel.counters().to_dict())

    async def _down(self) -> None:
        if self._setup is None:
            return
        try:
            await self._setup.down(self._save)
        except OSError as error:
            self._log.error("tunnel.down_failed", reason=str(error))

    async def _save(self) -> None:
        config = self._config
        if config is not None and config.interface.save_config and self._config_path is not None:
            device = client.parse_device(self.name, protocol.get(self._tunnel))
            await save_config.save(self._config_path, config, device)

    def _set_mark(self, mark: int) -> None:
        self._tunnel.set_own_fwmark(mark)

    def _listener(self) -> socket.socket:
        if self._uapi_fd is not None:
            return socket.socket(fileno=self._uapi_fd)
        return server.listen(self.name)

    def _mtu_changed(self, mtu: int) -> None:
        if self._tunnel.is_open:
            self._tunnel.set_mtu(mtu)


def _settings_at_start(settings: Settings) -> Settings:
    """Returns the settings without those that a reload can change."""
    return replace(settings, stages=(), role=None, isolate_peers=True, kill_switch=False)


async def _first(task: asyncio.Future[Any], event: asyncio.Event) -> bool:
    """Returns whether the task ended before the event was set; otherwise cancels it and waits for its end."""
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        return task.done()
    finally:
        for one in (task, waiting):
            if not one.done():
                one.cancel()
                await asyncio.gather(one, return_exceptions=True)
