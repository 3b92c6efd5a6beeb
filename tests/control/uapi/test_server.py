import asyncio
import errno
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pyfw.control.uapi import client, server, socket_path
from pyfw.control.uapi.server import UapiServer
from tests.fake_engine import fake_tunnel

A = b"\x0a" * 32


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(socket_path, "DIRECTORY", tmp_path / "wireguard")
    return tmp_path / "wireguard"


class RunningServer:
    def __init__(self) -> None:
        self.deleted = asyncio.Event()

    async def request(self, request: bytes, *, end: bool = False) -> bytes:
        reader, writer = await asyncio.open_unix_connection(socket_path.path_of("wg0"))
        writer.write(request)
        if end:
            writer.write_eof()
            reply = await reader.read()
        else:
            reply = await reader.readuntil(b"\n\n")
        writer.close()
        await writer.wait_closed()
        return reply


@asynccontextmanager
async def running_server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningServer]:
    running = RunningServer()
    async with fake_tunnel(monkeypatch) as tunnel:
        listener = server.listen("wg0")
        uapi_server = UapiServer(tunnel, listener, running.deleted.set)
        uapi_server.start()
        try:
            yield running
        finally:
            await uapi_server.close()
            listener.close()


def run_with_server(
    monkeypatch: pytest.MonkeyPatch, body: Callable[[RunningServer], Awaitable[None]]
) -> None:
    async def run() -> None:
        async with asyncio.timeout(20), running_server(monkeypatch) as running:
            await body(running)

    asyncio.run(run())


def test_only_the_owner_can_use_the_socket(
    monkeypatch: pytest.MonkeyPatch, directory: Path
) -> None:
    listener = server.listen("wg0")
    assert stat.S_IMODE(directory.stat().st_mode) == 0o755
    assert stat.S_IMODE((directory / "wg0.sock").stat().st_mode) & 0o077 == 0
    listener.close()


def test_a_stale_socket_is_replaced(directory: Path) -> None:
    server.listen("wg0").close()  # as a killed daemon leaves it
    assert (directory / "wg0.sock").exists()
    server.listen("wg0").close()


def test_the_socket_of_a_running_daemon_is_kept() -> None:
    listener = server.listen("wg0")
    with pytest.raises(OSError, match="wg0 is already running") as caught:
        server.listen("wg0")
    assert caught.value.errno == errno.EADDRINUSE
    listener.close()


def test_a_file_that_is_no_socket_is_replaced(directory: Path) -> None:
    directory.mkdir()
    (directory / "wg0.sock").write_text("")
    server.listen("wg0").close()


def test_requests_of_a_connection_are_answered_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body(running: RunningServer) -> None:
        requests = b"set=1\nlisten_port=4711\n\nget=1\n\nset=1\nfwmark=5\n\nget=1\n\n"
        assert await running.request(requests, end=True) == (
            b"errno=0\n\nlisten_port=4711\nerrno=0\n\n"
            b"errno=0\n\nlisten_port=4711\nfwmark=5\nerrno=0\n\n"
        )

    run_with_server(monkeypatch, body)


def test_a_request_may_arrive_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(running: RunningServer) -> None:
        reader, writer = await asyncio.open_unix_connection(socket_path.path_of("wg0"))
        for byte in b"set=1\nlisten_port=4711\n\n":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        assert await reader.readuntil(b"\n\n") == b"errno=0\n\n"
        writer.close()

    run_with_server(monkeypatch, body)


def test_a_client_that_hangs_delays_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(running: RunningServer) -> None:
        _, writer = await asyncio.open_unix_connection(socket_path.path_of("wg0"))
        writer.write(b"set=1\nlisten_port=1")
        await writer.drain()
        assert await running.request(b"get=1\n\n") == b"listen_port=40000\nerrno=0\n\n"
        writer.close()

    run_with_server(monkeypatch, body)


def test_a_probe_without_a_request_is_not_logged(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    async def body(running: RunningServer) -> None:
        for _ in range(3):
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(socket_path.path_of("wg0")))
        assert await running.request(b"get=1\n\n") == b"listen_port=40000\nerrno=0\n\n"

    run_with_server(monkeypatch, body)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        (b"set=1\nnonsense\n\n", b"errno=-71\n\n"),  # EPROTO
        (b"set=1\nlisten_port=x\n\n", b"errno=-22\n\n"),  # EINVAL
        (b"set=1\nlisten_port=65000\n\n", b"errno=-98\n\n"),  # EADDRINUSE
        (b"get=1\nget=1\n\n", b"errno=-22\n\n"),
        (b"set=1\nprivate_key=" + b"1" * (1 << 20) + b"\n\n", b"errno=-5\n\n"),  # EIO
        (b"what=1\n\n", b""),
        (b"\n", b""),
        (b"get=1\r\n\r\n", b""),
        (b"\0" * (1 << 20), b""),
    ],
)
def test_a_malformed_request_is_answered_with_an_errno(
    monkeypatch: pytest.MonkeyPatch, request_: bytes, reply: bytes
) -> None:
    async def body(running: RunningServer) -> None:
        reader, writer = await asyncio.open_unix_connection(socket_path.path_of("wg0"))
        writer.write(request_)
        try:
            writer.write_eof()
            got = await reader.read()
        except ConnectionError:
            got = b""  # the server closed the connection with unread bytes
        assert got == reply
        writer.close()

    run_with_server(monkeypatch, body)


def test_the_end_of_the_stream_ends_a_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body(running: RunningServer) -> None:
        assert await running.request(b"set=1\nlisten_port=4711\n", end=True) == b"errno=0\n\n"

    run_with_server(monkeypatch, body)


def test_deleting_the_socket_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(running: RunningServer) -> None:
        socket_path.path_of("wg0").unlink()
        await running.deleted.wait()

    run_with_server(monkeypatch, body)


def test_closing_the_server_deletes_the_socket(
    monkeypatch: pytest.MonkeyPatch, directory: Path
) -> None:
    async def body(running: RunningServer) -> None:
        assert not running.deleted.is_set()

    run_with_server(monkeypatch, body)
    assert list(directory.iterdir()) == []


def test_the_client_parses_the_replies(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(running: RunningServer) -> None:
        lines = f"public_key={A.hex()}\npreshared_key={'22' * 32}\nendpoint=192.0.2.1:7\n"
        assert (
            await running.request(f"set=1\n{lines}allowed_ip=10.0.0.0/8\n\n".encode())
            == b"errno=0\n\n"
        )
        device = await asyncio.to_thread(client.device, "wg0")
        assert (device.listen_port, device.private_key) == (40000, None)
        (peer,) = device.peers
        assert (peer.public_key, peer.preshared_key) == (A, b"\x22" * 32)
        assert (peer.endpoint, peer.allowed_ips) == ("192.0.2.1:7", ["10.0.0.0/8"])
        details = await asyncio.to_thread(client.details, "wg0")
        assert details is not None
        assert details["facts"] == {"cipher": "fake", "threads": 1}
        assert await asyncio.to_thread(client.interfaces) == ["wg0"]

    run_with_server(monkeypatch, body)


def test_a_missing_daemon_raises_file_not_found() -> None:
    with pytest.raises(FileNotFoundError):
        client.device("wg9")
    assert client.interfaces() == []
