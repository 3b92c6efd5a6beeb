"""A fake engine: stores its configuration and reports it, but passes no packets."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytest

from pyfw import _native
from pyfw.config import Config
from pyfw.pipeline import MTU_DEFAULT, Pipeline
from pyfw.tunnel import Tunnel

_T = TypeVar("_T")

if TYPE_CHECKING:
    from pyfw._native import Engine
else:
    Engine = object


# mypy checks each method against the stub, and stubtest the stub against the extension.
class FakeEngine(Engine):  # type: ignore[misc]  # Engine is final
    def __init__(self, listen_port: int = 51820) -> None:
        self.private_key: bytes | None = None
        self.own_public_key = b"\xee" * 32
        self.listen_port = listen_port
        self.fwmark = 0
        self.mtu = MTU_DEFAULT
        self.by_key: dict[bytes, dict[str, Any]] = {}
        self.calls: list[tuple[str, Any]] = []
        self.waiting: list[dict[str, Any]] = []
        self.end: str | None = None
        self.closed = False
        self._expected_mtu = 0
        self._mtu_seen: asyncio.Event | None = None
        self._event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def set_private_key(self, private_key: bytes | None) -> None:
        self.calls.append(("set_private_key", private_key))
        self.private_key = private_key

    def set_peer(
        self,
        public_key: bytes,
        *,
        update_only: bool = False,
        replace_allowed_ips: bool = False,
        add_allowed_ips: Sequence[str] = (),
        remove_allowed_ips: Sequence[str] = (),
        **properties: Any,
    ) -> bool:
        self.calls.append(("set_peer", public_key))
        if public_key == self.own_public_key or (update_only and public_key not in self.by_key):
            return False
        peer = self.by_key.setdefault(public_key, _new_peer(public_key))
        peer |= {name: value for name, value in properties.items() if value is not None}
        if peer["preshared_key"] == bytes(32):
            peer["preshared_key"] = None
        if replace_allowed_ips:
            peer["allowed_ips"].clear()
        for network in add_allowed_ips:
            for other in self.by_key.values():
                if network in other["allowed_ips"]:
                    other["allowed_ips"].remove(network)
            peer["allowed_ips"].append(network)
        for network in remove_allowed_ips:
            if network in peer["allowed_ips"]:
                peer["allowed_ips"].remove(network)
        return True

    def remove_peer(self, public_key: bytes) -> bool:
        self.calls.append(("remove_peer", public_key))
        return self.by_key.pop(public_key, None) is not None

    def remove_peers(self) -> None:
        self.calls.append(("remove_peers", None))
        self.by_key.clear()

    def set_mtu(self, mtu: int) -> None:
        self.mtu = mtu
        if mtu == self._expected_mtu and self._mtu_seen is not None:
            self._mtu_seen.set()

    def set_fwmark(self, mark: int) -> None:
        self.calls.append(("set_fwmark", mark))
        self.fwmark = mark

    def rebind(self, udp_fds: tuple[int, int], listen_port: int) -> None:
        self.calls.append(("rebind", listen_port))
        self.listen_port = listen_port

    def configuration(self) -> _native.Configuration:
        return report(
            _native.Configuration,
            private_key=self.private_key,
            listen_port=self.listen_port,
            fwmark=self.fwmark,
        )

    def peers(self) -> list[_native.PeerStatus]:
        return [
            report(_native.PeerStatus, **peer | {"allowed_ips": list(peer["allowed_ips"])})
            for peer in self.by_key.values()
        ]

    def counters(self) -> _native.Counters:
        return report(_native.Counters, inbound={"late": 0})

    def facts(self) -> _native.Facts:
        return report(_native.Facts, cipher="fake", threads=1)

    def event_fd(self) -> int:
        return self._event_fd

    def events(self) -> list[dict[str, Any]]:
        events, self.waiting = self.waiting, []
        if events or self.end:
            try:
                os.eventfd_read(self._event_fd)
            except BlockingIOError:
                pass
        return events

    def ended(self) -> str | None:
        return self.end

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            os.close(self._event_fd)

    # For tests: events, and waiting for a call

    async def mtu_became(self, mtu: int) -> None:
        self._expected_mtu, self._mtu_seen = mtu, asyncio.Event()
        if self.mtu != mtu:
            await self._mtu_seen.wait()

    def post(self, event: Mapping[str, Any] | None = None, end: str | None = None) -> None:
        """Posts an event, or ends the engine for the reason `end`."""
        if event is not None:
            self.waiting.append(dict(event))
        self.end = end or self.end
        os.eventfd_write(self._event_fd, 1)


class FakePipeline(Pipeline, frozen=True):
    def start(
        self, tun_fd: int, udp_fds: tuple[int, int], listen_port: int, mtu: int = MTU_DEFAULT
    ) -> _native.Engine:
        return FakeEngine(listen_port)


def fake_tunnel(
    monkeypatch: pytest.MonkeyPatch, config: Config | None = None, **arguments: Any
) -> Tunnel:
    """A tunnel that opens nothing; ports above 60000 are "taken"."""

    def open_udp(port: int, fwmark: int = 0) -> tuple[int, int, int]:
        if port > 60_000:
            raise OSError(98, "Address already in use")
        return -1, -1, port or 40_000

    monkeypatch.setattr(_native, "open_udp", open_udp)
    monkeypatch.setattr(_native, "open_tun", lambda name, offloads: (-1, name or "wg0", []))
    return Tunnel("wg0", config, pipeline=FakePipeline(), **arguments)


def engine_of(tunnel: Tunnel) -> FakeEngine:
    engine = tunnel.engine
    assert isinstance(engine, FakeEngine)
    return engine


def report(kind: type[_T], **fields: Any) -> _T:
    """An object with some of the fields of `kind`, which only the extension can create."""
    assert fields.keys() <= set(dir(kind)), kind
    return cast(_T, SimpleNamespace(**fields, to_dict=lambda: fields))


def _new_peer(public_key: bytes) -> dict[str, Any]:
    return {
        "public_key": public_key,
        "preshared_key": None,
        "endpoint": None,
        "persistent_keepalive": 0,
        "allowed_ips": [],
        "last_handshake_ns": 0,
        "sent_bytes": 0,
        "received_bytes": 0,
        "counters": report(_native.PeerCounters),
    }
