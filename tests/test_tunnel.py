import asyncio
import errno
import socket
import threading
from typing import Any

import pytest

from pyfw import _native
from pyfw.config import Config, Interface, Peer, Secret
from tests.fake_engine import engine_of, fake_tunnel

A, B = b"\x0a" * 32, b"\x0b" * 32


def config(*peers: Peer, **interface: Any) -> Config:
    interface.setdefault("private_key", Secret(b"\x01" * 32))
    return Config(name="wg0", interface=Interface(**interface), peers=peers)


def peer(key: bytes = A, **fields: Any) -> Peer:
    return Peer(public_key=key, **fields)


def test_opening_applies_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    first = peer(endpoint="192.0.2.1:7", allowed_ips=("10.0.0.0/8",), persistent_keepalive=25)
    with fake_tunnel(monkeypatch, config(first, listen_port=4711, fwmark=9)) as tunnel:
        engine = engine_of(tunnel)
        configuration = engine.configuration()
        assert configuration.private_key == b"\x01" * 32
        assert (configuration.listen_port, configuration.fwmark) == (4711, 9)
        (status,) = tunnel.peers()
        assert status.endpoint == "192.0.2.1:7"
        assert status.allowed_ips == ["10.0.0.0/8"]
        assert status.persistent_keepalive == 25
    assert engine.closed
    assert not tunnel.is_open


def test_syncing_the_same_configuration_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    same = config(peer(endpoint="192.0.2.1:7", allowed_ips=("10.0.0.0/8",)), listen_port=4711)
    with fake_tunnel(monkeypatch, same) as tunnel:
        engine_of(tunnel).calls.clear()
        tunnel.sync(same)
        assert engine_of(tunnel).calls == []


def test_sync_keeps_the_endpoint_of_a_peer_that_roamed(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_tunnel(monkeypatch, config(peer(endpoint="192.0.2.1:7"))) as tunnel:
        engine_of(tunnel).by_key[A]["endpoint"] = "198.51.100.1:9"
        tunnel.sync(config(peer(endpoint="192.0.2.1:7", persistent_keepalive=5)))
        assert tunnel.peers()[0].endpoint == "198.51.100.1:9"
        tunnel.sync(config(peer(endpoint="192.0.2.2:7")))
        assert tunnel.peers()[0].endpoint == "192.0.2.2:7"


def test_sync_changes_only_peers_that_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_tunnel(monkeypatch, config(peer(A), peer(B))) as tunnel:
        engine_of(tunnel).calls.clear()
        tunnel.sync(config(peer(A), peer(B, preshared_key=Secret(b"k" * 32))))
        assert engine_of(tunnel).calls == [("set_peer", B)]
        tunnel.sync(config(peer(A), peer(B)))
        assert tunnel.peers()[1].preshared_key is None
        tunnel.sync(config(peer(B)))
        assert engine_of(tunnel).calls[-1] == ("remove_peer", A)
        assert [p.public_key for p in tunnel.peers()] == [B]


@pytest.mark.parametrize("order", [(A, B), (B, A)])
def test_a_prefix_moves_between_peers_in_one_sync(
    monkeypatch: pytest.MonkeyPatch, order: tuple[bytes, bytes]
) -> None:
    first, second = order
    net = ("10.0.0.0/8",)
    with fake_tunnel(monkeypatch, config(peer(A, allowed_ips=net), peer(B))) as tunnel:
        new = {A: (), B: net}
        tunnel.sync(config(*(peer(key, allowed_ips=new[key]) for key in (first, second))))
        assert {p.public_key: tuple(p.allowed_ips) for p in tunnel.peers()} == new


def test_kernel_errors_have_errno_and_message() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("", 0))
        with pytest.raises(OSError, match="Address already in use") as caught:
            _native.open_udp(taken.getsockname()[1])
    assert caught.value.errno == errno.EADDRINUSE
    assert caught.value.strerror == "Address already in use"


def test_returning_to_a_port_just_left_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = [OSError(errno.EADDRINUSE, "Address already in use")] * 3

    def open_udp(port: int, fwmark: int = 0) -> tuple[int, int, int]:
        if port == 4711 and tunnel.engine.configuration().listen_port == 4712 and errors:
            raise errors.pop()
        return -1, -1, port

    monkeypatch.setattr("pyfw.tunnel._LEAVE_S", 0.2)
    with fake_tunnel(monkeypatch) as tunnel:
        monkeypatch.setattr(_native, "open_udp", open_udp)
        for port in (4711, 4712, 4711):
            assert tunnel.set_listen_port(port) == port
        assert errors == []
        errors += [OSError(errno.EADDRINUSE, "Address already in use")] * 1000
        tunnel.set_listen_port(4712)
        with pytest.raises(OSError, match="in use"):
            tunnel.set_listen_port(4711)


def test_a_taken_port_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_tunnel(monkeypatch, config(listen_port=4711)) as tunnel:
        with pytest.raises(OSError, match="in use"):
            tunnel.sync(config(peer(), listen_port=65000))
        assert engine_of(tunnel).listen_port == 4711
        assert tunnel.peers() == []


def test_a_closed_tunnel_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    tunnel = fake_tunnel(monkeypatch)
    with pytest.raises(RuntimeError, match="not open"):
        tunnel.counters()
    tunnel.close()


def test_events_reach_the_loop_in_order_before_wait_returns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Any] = []

    async def run() -> str:
        async with fake_tunnel(monkeypatch, on_event=seen.append) as tunnel:
            engine = engine_of(tunnel)
            engine.post({"message": "one"})
            engine.post({"message": "two"})
            engine.post(end="tun closed")
            return await tunnel.wait()

    assert asyncio.run(run()) == "tun closed"
    assert [event["message"] for event in seen] == ["one", "two"]


def test_without_a_loop_events_arrive_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    arrived = threading.Event()

    def on_event(event: Any) -> None:
        seen.append(event["message"])
        arrived.set()

    with fake_tunnel(monkeypatch, on_event=on_event) as tunnel:
        engine_of(tunnel).post({"message": "one"})
        assert arrived.wait(10)
        engine_of(tunnel).post(end="panic: x")
        assert tunnel.wait_blocking(10) == "panic: x"
    assert seen == ["one"]
    assert "pyfw-events" not in {thread.name for thread in threading.enumerate()}


def test_wait_needs_async_with(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        fake_tunnel(monkeypatch) as tunnel,
        pytest.raises(RuntimeError, match="use async with"),
    ):
        asyncio.run(tunnel.wait())
