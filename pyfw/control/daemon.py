"""A tunnel as a process: descriptors, UAPI socket, signals, surroundings; from start to a clean end.

    SIGTERM SIGINT   drain and end
    SIGHUP           read the files again, as `wg syncconf`: peers that stay lose nothing
    SIGUSR1          write the counters to the log

It ends as well when its link or its socket is deleted, or its engine ends. Idle, it sleeps: everything
here waits on descriptors in one event loop.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import structlog

from pyfw import config as configuration
from pyfw.config import Config, ConfigError, Settings
from pyfw.control import client, saved, uapi, uapi_socket
from pyfw.control.echo import Echo
from pyfw.control.link_watch import LinkWatch
from pyfw.control.quick import Quick
from pyfw.control.resolve import resolve
from pyfw.control.uapi_socket import UapiServer
from pyfw.pipeline import Pipeline
from pyfw.tunnel import Tunnel

EXIT_OK, EXIT_FAILED, EXIT_PANIC = 0, 1, 70
"""70: EX_SOFTWARE of sysexits.h, a thread of the engine panicked."""


_T = TypeVar("_T")


class _Stopped(Exception):
    """Told to end before it was up; says by what."""


class Daemon:
    """Runs one tunnel until something ends it.

    name: of the interface.
    config: what it shall be; None leaves all to the UAPI socket, as with wireguard-go.
    config_path: read again at SIGHUP.
    tun_fd, uapi_fd: descriptors that were handed over.
    on_ready: called once it answers, and is up where it has a configuration.
    echo: told what is done to the machine; without, it is logged.
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
        on_ready: Callable[[], None] | None = None,
        echo: Echo | None = None,
    ) -> None:
        self._config = config
        self._config_path = Path(config_path).absolute() if config_path is not None else None
        self._settings = settings or (config.settings if config else Settings())
        self._on_ready = on_ready
        self._uapi_fd = uapi_fd
        self._tun_fd = tun_fd
        self._pipeline = pipeline or Pipeline(self._settings)
        self._stopped: asyncio.Future[str] | None = None
        self._reloading = asyncio.Lock()
        self._is_up = False
        self._log = structlog.get_logger("pyfw").bind(interface=name)
        self._echo = echo or Echo(name)
        self._quick = Quick(name, self._echo, self._set_mark) if config else None
        self.name = name

    async def run(self) -> int:
        """Runs to the end and returns the exit status. Raises OSError where it cannot start."""
        loop = asyncio.get_running_loop()
        self._stopped = loop.create_future()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop, number.name)
        loop.add_signal_handler(signal.SIGHUP, self._reload_soon)
        loop.add_signal_handler(signal.SIGUSR1, self._log_counters)
        try:
            return await self._run()
        except _Stopped as stopped:
            self._log.info("stopped before it was up", reason=str(stopped))
            return EXIT_OK
        finally:
            if self._quick is not None:
                await self._quick.end()

    async def _run(self) -> int:
        config = self._config
        if self._quick is not None and config is not None:
            given = self._tun_fd is not None or self._uapi_fd is not None
            await self._unless_stopped(self._quick.begin(config, given=given))
            # Not earlier: PreUp may bring up what names are looked up by.
            config = await self._unless_stopped(resolve(config))
            self._echo.step(f"ip tuntap add mode tun dev {self.name}")
            self._echo.step(
                f"wg setconf {self.name} <(pyfw strip {self._config_path or self.name})"
            )
        port = (config.interface.listen_port if config else None) or 0
        self._tunnel = Tunnel(
            self.name,
            config,
            settings=self._settings,
            tun_fd=self._tun_fd,
            listen_port=port,
            pipeline=self._pipeline,
        )
        async with self._tunnel as tunnel:
            self.name = tunnel.name
            self._log = self._log.bind(interface=self.name)
            listener = self._listener()
            server = UapiServer(tunnel, listener, lambda: self.stop("socket deleted"))
            watch = LinkWatch(
                self.name,
                tunnel.tun_fd,
                on_mtu=self._mtu_changed,
                on_deleted=lambda: self.stop("link deleted"),
            )
            try:
                await watch.start()
                # Before it is up: hooks speak to it.
                server.start()
                if self._quick is not None and config is not None:
                    tunnel.set_mtu(await self._unless_stopped(self._quick.up(config)))
                return await self._serve(tunnel)
            finally:
                await self._down()
                await watch.close()
                await server.close()
                listener.close()

    def stop(self, reason: str = "stopped") -> None:
        """Ends `run`, in order."""
        if self._stopped is not None and not self._stopped.done():
            self._stopped.set_result(reason)

    async def reload(self) -> bool:
        """Reads the files again and applies what changed. A bad file changes nothing, and is logged."""
        if self._config_path is None:
            self._log.warning("nothing to reload", reason="started without a file")
            return False
        if not self._is_up:
            self._log.warning("nothing to reload", reason="not up yet")
            return False
        async with self._reloading:
            try:
                config = await resolve(configuration.load(self._config_path))
                self._tunnel.sync(config)
                if self._quick is not None:
                    self._tunnel.set_mtu(await self._quick.sync(config))
            except ConfigError as error:
                for problem in error.problems:
                    self._log.error("reload refused", reason=str(problem))
                return False
            except OSError as error:
                self._log.error("reload failed", reason=str(error))
                return False
        self._config = config
        if config.settings != self._settings:
            self._log.warning("restart to apply the settings of the .pyfw.toml")
        self._log.info("reloaded", peers=len(config.peers))
        return True

    async def _serve(self, tunnel: Tunnel) -> int:
        assert self._stopped is not None
        ended = asyncio.ensure_future(tunnel.wait())
        self._log.info("started", listen_port=tunnel.engine.configuration()["listen_port"])
        self._is_up = True
        if self._on_ready is not None:
            self._on_ready()
        await asyncio.wait({ended, self._stopped}, return_when=asyncio.FIRST_COMPLETED)
        reason = self._stopped.result() if self._stopped.done() else ended.result()
        ended.cancel()
        panicked = reason.startswith("panic")
        (self._log.error if panicked else self._log.info)("stopping", reason=reason)
        return EXIT_PANIC if panicked else EXIT_OK

    async def _unless_stopped(self, step: Coroutine[Any, Any, _T]) -> _T:
        """Does a step of the way up; cancelled where we are told to end. Raises _Stopped."""
        assert self._stopped is not None
        task = asyncio.ensure_future(step)
        try:
            either: set[asyncio.Future[Any]] = {task, self._stopped}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise _Stopped(self._stopped.result())
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

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
            device = client.parsed(self.name, uapi.get(self._tunnel))
            await saved.save(self._config_path, config, device)

    def _set_mark(self, mark: int) -> None:
        self._tunnel.set_own_fwmark(mark)

    def _listener(self) -> socket.socket:
        if self._uapi_fd is not None:
            return socket.socket(fileno=self._uapi_fd)
        return uapi_socket.listen(self.name)

    def _mtu_changed(self, mtu: int) -> None:
        if self._tunnel.is_open:
            self._tunnel.set_mtu(mtu)

    def _reload_soon(self) -> None:
        self._task = asyncio.ensure_future(self.reload())

    def _log_counters(self) -> None:
        self._log.info("counters", **self._tunnel.counters())
