"""Serves the UAPI socket, /var/run/wireguard/NAME.sock.

Requests of one connection are answered in order; connections are independent, so a client that hangs delays
no other. A connection without a request is a probe by `wg`, and is not logged. Deleting the socket ends the
daemon, as wireguard.com/xplatform requires; an inotify watch reports it.
"""

import asyncio
import contextlib
import ctypes
import errno
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path

import structlog

from pyfw.control.uapi import client, protocol, socket_path
from pyfw.control.uapi.protocol import UapiError
from pyfw.tunnel import Tunnel

# bufio.MaxScanTokenSize, wireguard-go's limit for a line.
_LINE_BYTES_MAX = 64 << 10
# Bounds the memory of a request; room for some 500,000 allowed IPs.
_REQUEST_BYTES_MAX = 32 << 20

_ACCEPT_RETRY_S = 1.0

# inotify(7)
_IN_ATTRIB, _IN_DELETE_SELF, _IN_MOVE_SELF = 0x4, 0x400, 0x800


def listen(name: str) -> socket.socket:
    """Opens the socket, and replaces a stale one. Raises OSError: EADDRINUSE if a daemon is running."""
    socket_path.DIRECTORY.mkdir(mode=0o755, parents=True, exist_ok=True)
    path = socket_path.path_of(name)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Renamed once it accepts connections: `wg` deletes a socket that does not.
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    umask = os.umask(0o077)
    try:
        listener.bind(str(temporary))
        listener.listen()
        if path.exists() and client.is_running(name):
            raise OSError(errno.EADDRINUSE, f"{path} is in use: {name} is already running")
        temporary.rename(path)
    except BaseException:
        listener.close()
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.umask(umask)
    return listener


class UapiServer:
    """Serves a tunnel on a listening socket, in the running event loop."""

    def __init__(
        self, tunnel: Tunnel, listener: socket.socket, on_deleted: Callable[[], None]
    ) -> None:
        self._tunnel = tunnel
        self._listener = listener
        self._on_deleted = on_deleted
        self._log = structlog.get_logger("pyfw").bind(interface=tunnel.name)
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._watch: _DeletionWatch | None = None
        address = listener.getsockname()
        self._path = _final_path(address) if isinstance(address, str) and address else None

    def start(self) -> None:
        """Starts accepting connections."""
        if self._path is not None:
            self._watch = _DeletionWatch(self._path, self._on_deleted)
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener, self._accept)

    async def close(self) -> None:
        """Closes all connections, and deletes the socket if the path still names it."""
        if self._watch is not None:
            if self._path is not None and self._watch.is_unchanged():
                self._path.unlink(missing_ok=True)
            self._watch.close()
        self._closed = True
        self._loop.remove_reader(self._listener)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # the client is gone
        except OSError as error:  # such as EMFILE, which may pass
            self._log.error("uapi.accept_failed", reason=str(error))
            self._loop.remove_reader(self._listener)
            self._loop.call_later(_ACCEPT_RETRY_S, self._accept_again)
            return
        task = self._loop.create_task(self._serve(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Also closes it if the task is cancelled before it runs.
        task.add_done_callback(lambda _task: connection.close())

    def _accept_again(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._listener, self._accept)

    async def _serve(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=connection, limit=_LINE_BYTES_MAX)
        try:
            while await self._serve_request(reader, writer):
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client closed the connection within a request
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _serve_request(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answers one request. Returns False after an error, and at the end of the connection."""
        try:
            operation = await reader.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            return False
        try:
            match operation:
                case b"get=1\n":
                    await _read_blank_line(reader)
                    body = protocol.get(self._tunnel)
                case b"pyfw=1\n":
                    await _read_blank_line(reader)
                    body = protocol.details(self._tunnel)
                case b"set=1\n":
                    protocol.set_(self._tunnel, await _read_lines(reader))
                    body = ""
                case _:
                    self._log.error("uapi.unknown_request")
                    return False
        except UapiError as error:
            self._log.error("uapi.request_refused", reason=str(error), errno=error.number)
            writer.write(f"errno=-{error.number}\n\n".encode())
            # Read and ignore the rest of the broken request: closing with unread bytes would discard the
            # reply.
            writer.write_eof()
            while await reader.read(_LINE_BYTES_MAX):
                pass
            return False
        writer.write(f"{body}errno=0\n\n".encode())
        return True


async def _read_blank_line(reader: asyncio.StreamReader) -> None:
    if await reader.readexactly(1) != b"\n":
        raise UapiError(errno.EINVAL, "unexpected data after the operation")


async def _read_lines(reader: asyncio.StreamReader) -> list[str]:
    """Reads up to a blank line, or to the end of the stream, as wireguard-go does."""
    lines: list[str] = []
    total = 0
    while True:
        try:
            raw = await reader.readuntil(b"\n")
        except asyncio.LimitOverrunError as error:
            raise UapiError(errno.EIO, "line too long") from error
        except asyncio.IncompleteReadError as error:
            raw = error.partial
            if not raw:
                return lines
        total += len(raw)
        if total > _REQUEST_BYTES_MAX:
            raise UapiError(errno.EIO, "request too long")
        line = raw.decode(errors="replace").removesuffix("\n").removesuffix("\r")
        if not line:
            return lines
        lines.append(line)


def _final_path(address: str) -> Path:
    """Returns the path to which `listen` has renamed a socket bound to `address`."""
    bound = Path(address)
    return bound.with_name(re.sub(r"^\.\d+\.", "", bound.name))


class _DeletionWatch:
    """Calls `on_deleted` once when a path no longer names the same file."""

    def __init__(self, path: Path, on_deleted: Callable[[], None]) -> None:
        self._path = path
        self._on_deleted = on_deleted
        self._inode = _inode(path)
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        mask = _IN_ATTRIB | _IN_DELETE_SELF | _IN_MOVE_SELF
        if (
            self._descriptor < 0
            or libc.inotify_add_watch(self._descriptor, os.fsencode(path), mask) < 0
        ):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._descriptor, self._ready)

    def is_unchanged(self) -> bool:
        return self._inode is not None and _inode(self._path) == self._inode

    def close(self) -> None:
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _ready(self) -> None:
        os.read(self._descriptor, 4096)
        if not self.is_unchanged():
            self.close()
            self._on_deleted()


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
