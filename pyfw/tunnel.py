"""A tunnel: an engine over a TUN and UDP sockets, given or opened by name, and what it is told to be.

    async with pyfw.Tunnel("wg0", config) as tunnel:
        await tunnel.wait()

or, without an event loop, `with` and `wait_blocking`. Addresses, routes and the link's state are not
its business: see pyfw.control. Closing drains what is queued.
"""

import asyncio
import base64
import errno
import os
import select
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog

from pyfw import _native
from pyfw.config import Config, Peer, Settings
from pyfw.config.stages import StageConfig
from pyfw.observe import log
from pyfw.pipeline import MTU_DEFAULT, Pipeline
from pyfw.stage import Stage
from pyfw.stages.find import find

_NO_KEY = bytes(32)
# The engine reads sockets that were given up for 0.3 s (GRACE_NS in paths.rs).
_LEAVE_S = 0.6


class Tunnel:
    """One WireGuard interface's data plane.

    name: of the interface; what the kernel made of it once open ("wg%d" becomes "wg0").
    config: applied when it opens; `sync` applies another one later.
    tun_fd, udp_fds, listen_port: descriptors that are handed over, instead of opening some.
    stages: your stages, in order; without them, those that the settings ask for.
    on_event: gets each event of the engine as a dict; without it they are logged.
    """

    def __init__(
        self,
        name: str = "",
        config: Config | None = None,
        *,
        settings: Settings | None = None,
        tun_fd: int | None = None,
        udp_fds: tuple[int, int] | None = None,
        listen_port: int = 0,
        mtu: int | None = None,
        stages: Sequence[Stage] | None = None,
        on_event: Callable[[Mapping[str, Any]], None] | None = None,
        pipeline: Pipeline | None = None,
    ) -> None:
        self.name = name or (config.name if config else "")
        self._config = config
        self._given = (tun_fd, udp_fds, listen_port)
        self._mtu = mtu or (config.interface.mtu if config else None) or MTU_DEFAULT
        chosen = settings or (config.settings if config else Settings())
        self._stages = stages
        self.pipeline = pipeline or Pipeline(chosen)
        self._stage_set = self.pipeline.stages
        self._log = structlog.get_logger("pyfw").bind(interface=self.name)
        self._on_event = on_event or self.log_event
        self._engine: _native.Engine | None = None
        self._fwmark = self._own_fwmark = 0
        self._left_port, self._left_at_s = 0, 0.0
        self._any_port = False
        self.tun_fd = -1
        self._applied: dict[bytes, Peer] = {}
        self._watch: _LoopWatch | _ThreadWatch | None = None

    # Life

    def open(self) -> None:
        """Opens what was not given, starts stages and engine, and applies the configuration.

        Raises OSError, ConfigError for stages that cannot be had, and what a stage's `start` raises.
        """
        self.set_stages(self.pipeline.settings.stages, self._stages)
        try:
            self._open()
        except BaseException:
            self._stage_set.stop()
            raise

    def _open(self) -> None:
        tun_fd, udp_fds, port = self._given
        offloads = self.pipeline.tun_offloads
        if tun_fd is None:
            tun_fd, self.name, _granted = _native.open_tun(self.name, offloads)
        else:
            self.name, _granted = _native.attach_tun(tun_fd, offloads)
        if udp_fds is None:
            wanted = self._config.interface.listen_port if self._config else None
            self._any_port = not (port or wanted)
            try:
                *fds, port = _native.open_udp(port or wanted or 0)
            except OSError:
                os.close(tun_fd)
                raise
            udp_fds = (fds[0], fds[1])
        self._log = self._log.bind(interface=self.name)
        self.tun_fd = tun_fd
        self._engine = self.pipeline.start(tun_fd, udp_fds, port, self._mtu)
        try:
            if self.pipeline.settings.key_log is not None:
                self.start_key_log(self.pipeline.settings.key_log)
            if self._config is not None:
                self.sync(self._config)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends it; what is queued leaves first. May be called twice. Its stages get a RuntimeError."""
        self._stage_set.refuse_from_within("close its tunnel")
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.stop()
        engine, self._engine = self._engine, None
        self.tun_fd = -1
        if engine is not None:
            engine.close()
        self._stage_set.stop()

    def __enter__(self) -> Self:
        self.open()
        self._watch = _ThreadWatch(self.engine.event_fd(), self._drain)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        self.open()
        self._watch = _LoopWatch(self.engine.event_fd(), self._drain)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Joining threads may take a drain's time; the loop goes on meanwhile.
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.stop()
        await asyncio.to_thread(self.close)

    async def wait(self) -> str:
        """Until the engine ends by itself ("tun closed", "panic: …"); says why."""
        if not isinstance(self._watch, _LoopWatch):
            raise RuntimeError("the tunnel is not open in an event loop; use async with")
        return await self._watch.ended

    def wait_blocking(self, timeout_s: float | None = None) -> str | None:
        """The same without an event loop; None where the time has run out."""
        if not isinstance(self._watch, _ThreadWatch):
            raise RuntimeError("the tunnel is not open without an event loop; use with")
        return self._watch.wait(timeout_s)

    # What it is told

    def sync(self, config: Config) -> None:
        """Changes only what differs, as `wg syncconf`: peers that stay keep their sessions.

        An endpoint is set where the configuration's has changed, so a peer that roamed stays where it
        is. A private key, port or mark that the configuration does not name stays. Names must have been
        resolved before (`pyfw.control` does so). Raises OSError for a port that is taken; then nothing
        was changed.
        """
        interface = config.interface
        now = self.engine.configuration()
        if interface.listen_port not in (None, 0, now.listen_port):
            self.set_listen_port(interface.listen_port or 0)
        if interface.fwmark is not None and interface.fwmark != now.fwmark:
            self.set_fwmark(interface.fwmark)
        if interface.private_key is not None and interface.private_key != now.private_key:
            self.engine.set_private_key(bytes(interface.private_key))
        wanted = {peer.public_key: peer for peer in config.peers}
        current = {peer.public_key: peer for peer in self.engine.peers()}
        for public_key in current:
            if public_key not in wanted:
                self.engine.remove_peer(public_key)
        for public_key, peer in wanted.items():
            change = _difference(peer, current.get(public_key), self._applied.get(public_key))
            if change is not None:
                self.engine.set_peer(public_key, **change)
        self._applied = wanted
        self._config = config

    def set_listen_port(self, port: int) -> int:
        """Goes over to other sockets (0: the kernel chooses); sessions stay. Returns the port.

        One that the kernel chose before is as good as another: `wg syncconf` asks for 0 each time, where
        the file names none. The old sockets are read for a moment more, for what is on its way to their
        port. Raises OSError; then the old ones stay.
        """
        now = self.engine.configuration().listen_port
        if port == now or (port == 0 and self._any_port and now):
            return now
        v4, v6, opened = self._open_udp(port)
        self.engine.rebind((v4, v6), opened)
        self._left_port, self._left_at_s = now, time.monotonic()
        self._any_port = port == 0
        return opened

    def _open_udp(self, port: int) -> tuple[int, int, int]:
        while True:
            try:
                return _native.open_udp(port, self._fwmark)
            except OSError as error:
                # Back to the port that is only just being left: it is ours yet.
                ours = port == self._left_port and error.errno == errno.EADDRINUSE
                if not ours or time.monotonic() > self._left_at_s + _LEAVE_S:
                    raise
                time.sleep(_LEAVE_S / 20)

    def set_fwmark(self, mark: int) -> None:
        """Marks outgoing datagrams (0: not; or as `set_own_fwmark` said). Raises OSError."""
        mark = mark or self._own_fwmark
        self.engine.set_fwmark(mark)
        self._fwmark = mark

    def set_own_fwmark(self, mark: int) -> None:
        """The mark where nobody asks for another (0: none), now and later. Raises OSError.

        A default route depends on it, and `wg syncconf` asks for 0 each time, where the file names none.
        """
        before, self._own_fwmark = self._own_fwmark, mark
        if self._fwmark == before:
            self.set_fwmark(0)

    def set_mtu(self, mtu: int) -> None:
        """Follows the link's MTU: padding never goes above it."""
        self.engine.set_mtu(mtu)
        self._mtu = mtu

    def set_stages(
        self,
        configs: Sequence[StageConfig] = (),
        stages: Sequence[Stage] | None = None,
        *,
        found: bool = False,
    ) -> None:
        """Goes over to other stages between two batches; those of the same name hand over their state.

        configs: what settings ask for; stages: of your own, or (found) those that were found for configs.
        Raises ConfigError for stages that cannot be had, and what StageSet.change raises; those that ran
        before go on then.
        """
        if stages is None:
            stages, found = find(configs) if configs else [], True
        self._stage_set.change(stages, configs if found else ())

    def stage_files(self) -> list[Path]:
        """The source files of the stages at work."""
        return self._stage_set.files()

    # What it says

    @property
    def engine(self) -> _native.Engine:
        """The engine of an open tunnel."""
        if self._engine is None:
            raise RuntimeError("the tunnel is not open")
        return self._engine

    @property
    def has_left_behind(self) -> bool:
        """Whether a thread has not come back from a stage that was stopped: end the process by os._exit."""
        return self._stage_set.has_left_behind

    @property
    def is_open(self) -> bool:
        """Whether it has an engine."""
        return self._engine is not None

    def peers(self) -> list[_native.PeerStatus]:
        """Returns configuration, state and counters of each peer, in the order in which they were added."""
        return self.engine.peers()

    def counters(self) -> _native.Counters:
        """Returns the counters of the tunnel and of its stages, exact at batch boundaries.

        Nothing vanishes: entered + created = left + queued + sum of drops in both directions, and
        received = data + handshakes + cookies + keepalives + others + sum of drops for datagrams.
        """
        return self.engine.counters()

    def facts(self) -> _native.Facts:
        """Returns cipher, threads and offloads in use."""
        return self.engine.facts()

    def start_key_log(self, path: str | os.PathLike[str]) -> None:
        """Appends the secrets of every handshake from now on to a file, in the words of wg.keylog_file.

        With it Wireshark opens what was captured, and so does everybody who has it: it is made for its owner
        alone, and a warning is logged. Raises OSError where it cannot be written.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self.engine.set_key_log(os.open(path, flags, 0o600))
        self._log.warning(
            "keys are logged: who has the file can read the tunnel", path=os.fspath(path)
        )

    def stop_key_log(self) -> None:
        """Writes no more of them."""
        self.engine.set_key_log(None)

    @contextmanager
    def capture(
        self,
        path: str | os.PathLike[str],
        points: Sequence[str] = ("tun", "udp"),
        snap_length: int = 262144,
    ) -> Iterator[dict[str, Any]]:
        """Writes what passes the capture points into a pcapng file, for as long as the context lasts.

        points: "tun" (frames as they cross the TUN), "stages" (frames on their way out, behind the
        stages) and "udp" (datagrams): an interface of the file each. snap_length: bytes kept of each.
        The file is the owner's alone, as it holds plaintext. The dict that is given is filled at the
        end: written and lost (records; those that found 4 MiB waiting), error (why it ended by itself,
        such as a full disk; the tunnel goes on). Raises OSError where it cannot start, ValueError for
        another point.
        """
        told: dict[str, Any] = {}
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self.engine.start_capture(fd, points, snap_length)
        try:
            yield told
        finally:
            if (result := self.engine.stop_capture()) is not None:
                told.update(result.to_dict())

    def _drain(self) -> str | None:
        engine = self._engine
        if engine is None:
            return "closed"
        for event in engine.events():
            self._on_event(event)
        return engine.ended()

    def log_event(self, event: Mapping[str, Any]) -> None:
        """Writes an event of the engine to the log."""
        fields = dict(event)
        peer = fields.get("peer")
        if isinstance(peer, bytes):  # a public key: what operators know a peer by
            fields["peer"] = base64.b64encode(peer).decode()
        log.native(self._log, fields)


def _difference(
    wanted: Peer, current: _native.PeerStatus | None, applied: Peer | None
) -> dict[str, Any] | None:
    """The arguments of `set_peer` that lead from what is to what should be; None where nothing differs."""
    if current is None:
        return {
            "preshared_key": bytes(wanted.preshared_key) if wanted.preshared_key else None,
            "endpoint": wanted.endpoint,
            "persistent_keepalive": wanted.persistent_keepalive,
            "replace_allowed_ips": True,
            "add_allowed_ips": wanted.allowed_ips,
        }
    change: dict[str, Any] = {}
    if (wanted.preshared_key or _NO_KEY) != (current.preshared_key or _NO_KEY):
        change["preshared_key"] = bytes(wanted.preshared_key or _NO_KEY)
    if wanted.endpoint and (applied is None or applied.endpoint != wanted.endpoint):
        change["endpoint"] = wanted.endpoint
    if wanted.persistent_keepalive != current.persistent_keepalive:
        change["persistent_keepalive"] = wanted.persistent_keepalive
    has = set(current.allowed_ips)
    if add := [network for network in wanted.allowed_ips if network not in has]:
        change["add_allowed_ips"] = add
    if remove := sorted(has.difference(wanted.allowed_ips)):
        change["remove_allowed_ips"] = remove
    return change or None


class _LoopWatch:
    """Hands over events in the running event loop; costs nothing while there are none."""

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
        self._loop.remove_reader(self._descriptor)
        self._drain()
        if not self.ended.done():
            self.ended.set_result("closed")


class _ThreadWatch:
    """The same in a thread that sleeps until there is something."""

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
        self._done.wait(timeout_s)
        return self._reason

    def stop(self) -> None:
        os.eventfd_write(self._wake, 1)
        if threading.current_thread() is not self._thread:
            self._thread.join()
            os.close(self._wake)
