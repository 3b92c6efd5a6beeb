"""A tunnel: an engine over a TUN and UDP sockets, its configuration and its stages.

    async with pyfw.Tunnel("wg0", config) as tunnel:
        await tunnel.wait()

or, without an event loop, `with` and `wait_blocking`. Closing sends what is queued. Addresses, routes and
the state of the link belong to `pyfw.control`.
"""

import asyncio
import base64
import errno
import os
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
from pyfw.observe.event_watch import LoopWatch, ThreadWatch
from pyfw.pipeline import MTU_DEFAULT, Pipeline
from pyfw.stage import Stage
from pyfw.stages.load import load_stages

_NO_KEY = bytes(32)
# The engine reads sockets that it has left for 0.3 s more (GRACE_NS in data_plane.rs).
_LEAVE_S = 0.6


class Tunnel:
    """The data plane of one WireGuard interface.

    name: of the interface. Once open, the name that the kernel chose ("wg%d" becomes "wg0").
    config: applied when the tunnel opens; `sync` applies another one later.
    tun_fd, udp_fds, listen_port: open descriptors, which the tunnel takes over instead of opening its own.
    stages: in order; without them, the stages of the settings.
    on_event: called with each event of the engine; without it, events are logged.
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
        self._descriptors = (tun_fd, udp_fds, listen_port)
        self._mtu = mtu or (config.interface.mtu if config else None) or MTU_DEFAULT
        self._stages = stages
        settings = settings or (config.settings if config else Settings())
        self.pipeline = pipeline or Pipeline(settings)
        self._stage_set = self.pipeline.stages
        self._log = structlog.get_logger("pyfw").bind(interface=self.name)
        self._on_event = on_event or self.log_event
        self._engine: _native.Engine | None = None
        self._fwmark = self._own_fwmark = 0
        self._left_port, self._left_at_s = 0, 0.0
        self._any_port = False
        self.tun_fd = -1
        self._applied: dict[bytes, Peer] = {}
        self._watch: LoopWatch | ThreadWatch | None = None

    # Opening and closing

    def open(self) -> None:
        """Opens TUN and sockets, starts stages and engine, and applies the configuration.

        Raises OSError, ConfigError for stages that cannot be loaded, and what a stage's `start` raises.
        """
        self.set_stages(self.pipeline.settings.stages, self._stages)
        try:
            self._open()
        except BaseException:
            self._stage_set.stop()
            raise

    def _open(self) -> None:
        tun_fd, udp_fds, port = self._descriptors
        offloads = self.pipeline.tun_offloads
        if tun_fd is None:
            tun_fd, self.name, _granted = _native.open_tun(self.name, offloads)
        else:
            self.name, _granted = _native.attach_tun(tun_fd, offloads)
        if udp_fds is None:
            port = port or (self._config and self._config.interface.listen_port) or 0
            self._any_port = port == 0
            try:
                v4, v6, port = _native.open_udp(port)
            except OSError:
                os.close(tun_fd)
                raise
            udp_fds = (v4, v6)
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
        """Sends what is queued and closes the tunnel. May be called twice; raises RuntimeError in a stage."""
        self._stage_set.refuse_in_call("close its tunnel")
        self._stop_watch()
        engine, self._engine = self._engine, None
        self.tun_fd = -1
        if engine is not None:
            engine.close()
        self._stage_set.stop()

    def _stop_watch(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.stop()

    def __enter__(self) -> Self:
        self.open()
        self._watch = ThreadWatch(self.engine.event_fd(), self._drain)
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
        self._watch = LoopWatch(self.engine.event_fd(), self._drain)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Joining threads may take as long as a drain, which must not block the loop.
        self._stop_watch()
        await asyncio.to_thread(self.close)

    async def wait(self) -> str:
        """Waits until the engine ends by itself. Returns the reason ("tun closed", "panic: …")."""
        if not isinstance(self._watch, LoopWatch):
            raise RuntimeError("the tunnel is not open in an event loop: use async with")
        return await self._watch.ended

    def wait_blocking(self, timeout_s: float | None = None) -> str | None:
        """Does the same without an event loop; returns None after the timeout."""
        if not isinstance(self._watch, ThreadWatch):
            raise RuntimeError("the tunnel is not open without an event loop: use with")
        return self._watch.wait(timeout_s)

    # Configuration

    def sync(self, config: Config) -> None:
        """Applies a configuration as `wg syncconf` does: peers that stay keep their sessions.

        An endpoint is set only if it changed in the configuration, so a peer that roamed keeps its own. A
        private key, port or mark that the configuration does not name stays. Endpoints are numeric
        (`pyfw.control` resolves names). Raises OSError if the port is taken; then nothing is changed.
        """
        interface = config.interface
        current = self.engine.configuration()
        if interface.listen_port not in (None, 0, current.listen_port):
            self.set_listen_port(interface.listen_port or 0)
        if interface.fwmark is not None and interface.fwmark != current.fwmark:
            self.set_fwmark(interface.fwmark)
        if interface.private_key is not None and interface.private_key != current.private_key:
            self.engine.set_private_key(bytes(interface.private_key))
        peers = {peer.public_key: peer for peer in config.peers}
        before = {peer.public_key: peer for peer in self.engine.peers()}
        for public_key in before:
            if public_key not in peers:
                self.engine.remove_peer(public_key)
        for public_key, peer in peers.items():
            change = _difference(peer, before.get(public_key), self._applied.get(public_key))
            if change is not None:
                self.engine.set_peer(public_key, **change)
        self._applied = peers
        self._config = config

    def set_listen_port(self, port: int) -> int:
        """Moves to other sockets (0: the kernel chooses a port) and returns the port; sessions stay.

        0 keeps a port that the kernel chose before: `wg syncconf` sends 0 whenever the file names no port.
        The old sockets are read for a moment longer, for datagrams on their way to the old port. Raises
        OSError; then the old sockets stay.
        """
        current = self.engine.configuration().listen_port
        if port == current or (port == 0 and self._any_port and current):
            return current
        v4, v6, opened = self._open_udp(port)
        self.engine.rebind((v4, v6), opened)
        self._left_port, self._left_at_s = current, time.monotonic()
        self._any_port = port == 0
        return opened

    def _open_udp(self, port: int) -> tuple[int, int, int]:
        while True:
            try:
                return _native.open_udp(port, self._fwmark)
            except OSError as error:
                # The engine may still read its old sockets on this very port.
                is_ours = port == self._left_port and error.errno == errno.EADDRINUSE
                if not is_ours or time.monotonic() > self._left_at_s + _LEAVE_S:
                    raise
                time.sleep(_LEAVE_S / 20)

    def set_fwmark(self, mark: int) -> None:
        """Marks outgoing datagrams; 0: with the mark of `set_own_fwmark`. Raises OSError."""
        mark = mark or self._own_fwmark
        self.engine.set_fwmark(mark)
        self._fwmark = mark

    def set_own_fwmark(self, mark: int) -> None:
        """Sets the mark that applies while no other is configured (0: none). Raises OSError.

        A default route depends on it, and `wg syncconf` sends 0 whenever the file names no mark.
        """
        before, self._own_fwmark = self._own_fwmark, mark
        if self._fwmark == before:
            self.set_fwmark(0)

    def set_mtu(self, mtu: int) -> None:
        """Follows the MTU of the link: padding never exceeds it."""
        self.engine.set_mtu(mtu)
        self._mtu = mtu

    def set_stages(
        self,
        configs: Sequence[StageConfig] = (),
        stages: Sequence[Stage] | None = None,
        *,
        found: bool = False,
    ) -> None:
        """Exchanges the stages between two batches; stages of the same name hand over their state.

        configs: the tables of the settings. stages: your own or, with `found`, those already found for
        configs. Raises ConfigError for stages that cannot be loaded, and what StageSet.change raises; then
        the stages stay as they were.
        """
        if stages is None:
            stages, found = load_stages(configs) if configs else [], True
        self._stage_set.change(stages, configs if found else ())

    def stage_files(self) -> list[Path]:
        """Returns the source files of the running stages."""
        return self._stage_set.files()

    # State

    @property
    def engine(self) -> _native.Engine:
        """The engine of an open tunnel."""
        if self._engine is None:
            raise RuntimeError("the tunnel is not open")
        return self._engine

    @property
    def has_left_behind(self) -> bool:
        """Whether a thread is still inside a stopped stage; then only os._exit ends the process."""
        return self._stage_set.has_left_behind

    @property
    def is_open(self) -> bool:
        """Whether the tunnel has an engine."""
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

    # Recording

    def start_key_log(self, path: str | os.PathLike[str]) -> None:
        """Appends the secrets of every handshake from now on to a file, in the format of wg.keylog_file.

        The file decrypts captures of the tunnel. Only its owner can read it, and a warning is logged.

        Raises OSError if it cannot be written.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self.engine.set_key_log(os.open(path, flags, 0o600))
        risk = "anyone who has this file can read the tunnel's traffic"
        self._log.warning("key_log.started", path=os.fspath(path), risk=risk)

    def stop_key_log(self) -> None:
        """Ends the key log."""
        self.engine.set_key_log(None)

    @contextmanager
    def capture(
        self,
        path: str | os.PathLike[str],
        points: Sequence[str] = ("tun", "udp"),
        snap_length: int = 262144,
    ) -> Iterator[dict[str, Any]]:
        """Captures into a pcapng file until the context ends.

        points: "tun" (frames as they cross the TUN), "stages" (outbound frames after the stages) and "udp"
        (datagrams), each an interface of the file. snap_length: bytes kept of each packet. The file holds
        plaintext and is readable by its owner only. The dictionary is filled when the capture ends: written,
        lost and error, as in CaptureResult. Raises OSError if the capture cannot start, ValueError for an
        unknown point.
        """
        result: dict[str, Any] = {}
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self.engine.start_capture(fd, points, snap_length)
        try:
            yield result
        finally:
            if (finished := self.engine.stop_capture()) is not None:
                result.update(finished.to_dict())

    def _drain(self) -> str | None:
        engine = self._engine
        if engine is None:
            return "closed"
        for event in engine.events():
            self._on_event(event)
        return engine.ended()

    def log_event(self, event: Mapping[str, Any]) -> None:
        """Logs an event of the engine."""
        fields = dict(event)
        peer = fields.get("peer")
        if isinstance(peer, bytes):  # a public key, which operators read in base64
            fields["peer"] = base64.b64encode(peer).decode()
        log.native(self._log, fields)


def _difference(
    peer: Peer, current: _native.PeerStatus | None, applied: Peer | None
) -> dict[str, Any] | None:
    """Returns the arguments of `set_peer` that turn `current` into `peer`, or None if nothing differs.

    applied: the peer in the configuration before.
    """
    if current is None:
        return {
            "preshared_key": bytes(peer.preshared_key) if peer.preshared_key else None,
            "endpoint": peer.endpoint,
            "persistent_keepalive": peer.persistent_keepalive,
            "replace_allowed_ips": True,
            "add_allowed_ips": peer.allowed_ips,
        }
    change: dict[str, Any] = {}
    if (peer.preshared_key or _NO_KEY) != (current.preshared_key or _NO_KEY):
        change["preshared_key"] = bytes(peer.preshared_key or _NO_KEY)
    if peer.endpoint and (applied is None or applied.endpoint != peer.endpoint):
        change["endpoint"] = peer.endpoint
    if peer.persistent_keepalive != current.persistent_keepalive:
        change["persistent_keepalive"] = peer.persistent_keepalive
    before = set(current.allowed_ips)
    if add := [network for network in peer.allowed_ips if network not in before]:
        change["add_allowed_ips"] = add
    if remove := sorted(before.difference(peer.allowed_ips)):
        change["remove_allowed_ips"] = remove
    return change or None
