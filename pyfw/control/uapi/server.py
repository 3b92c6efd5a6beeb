"""The socket at /var/run/wireguard/NAME.sock: connections in, requests to `uapi`, replies out.

Requests of one connection are answered in their order, several connections side by side; one that hangs
holds up nobody. A connection without a byte is `wg` probing, and no event. Deleting the socket ends the
daemon, as wireguard.com/xplatform wants it: an inotify watch tells, nothing polls.
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

from pyfw.control.uapi import protocol, socket_path
from pyfw.control.uapi.protocol import UapiError
from pyfw.tunnel import Tunnel

# bufio.MaxScanTokenSize, wireguard-go's limit on a line.
_LINE_BYTES_MAX = 64 << 10
# Bounds what a client can make us hold: some 500,000 allowed IPs.
_REQUEST_BYTES_MAX = 32 << 20

_ACCEPT_PAUSE_S = 1.0

# inotify(7)
_IN_ATTRIB, _IN_DELETE_SELF, _IN_MOVE_SELF = 0x4, 0x400, 0x800


def listen(name: str) -> socket.socket:
    """Makes the socket, over a stale one if need be. Raises OSError; EADDRINUSE where one is served."""
    socket_path.DIRECTORY.mkdir(mode=0o755, parents=True, exist_ok=True)
    path = socket_path.path_of(name)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # It gets its name when it answers: `wg` takes a socket away that does not yet.
    nameless = path.with_name(f".{os.getpid()}.{path.name}")
    before = os.umask(0o077)
    try:
        listener.bind(str(nameless))
        listener.listen()
        if path.exists() and _answers(path):
            text = f"{path} is in use: {name} runs already"
            raise OSError(errno.EADDRINUSE, text)
        nameless.rename(path)
    except BaseException:
        listener.close()
        nameless.unlink(missing_ok=True)
        raise
    finally:
        os.umask(before)
    return listener


class UapiServer:
    """Serves one tunnel on a listening socket, in the running event loop."""

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
        self._path = _named(address) if isinstance(address, str) and address else None

    def start(self) -> None:
        """Begins to answer."""
        if self._path is not None:
            self._watch = _DeletionWatch(self._path, self._on_deleted)
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener, self._accept)

    async def close(self) -> None:
        """Ends connections too, and takes the socket away if it is still ours."""
        if self._watch is not None:
            if self._path is not None and self._watch.is_ours():
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
            return  # the client was gone already
        except OSError as error:  # EMFILE: the next one may be served
            self._log.error("uapi connection not accepted", reason=str(error))
            self._loop.remove_reader(self._listener)
            self._loop.call_later(_ACCEPT_PAUSE_S, self._accept_again)
            return
        task = self._loop.create_task(self._serve(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Also where it ends before it has begun.
        task.add_done_callback(lambda _task: connection.close())

    def _accept_again(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._listener, self._accept)

    async def _serve(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=connection, limit=_LINE_BYTES_MAX)
        try:
            while await self._request(reader, writer):
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away; its request was not whole
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answers one request. False where the connection is over or no longer to be understood."""
        try:
            operation = await reader.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            return False
        try:
            match operation:
                case b"get=1\n":
                    await _blank(reader)
                    body = protocol.get(self._tunnel)
                case b"pyfw=1\n":
                    await _blank(reader)
                    body = protocol.details(self._tunnel)
                case b"set=1\n":
                    protocol.set_(self._tunnel, await _lines(reader))
                    body = ""
                case _:
                    self._log.error("uapi request not understood")
                    return False
        except UapiError as error:
            self._log.error("uapi request refused", reason=str(error), errno=error.number)
            writer.write(f"errno=-{error.number}\n\n".encode())
            # What follows may be the rest of the broken request: not obeyed, but read, for closing over
            # unread bytes would take the reply back.
            writer.write_eof()
            while await reader.read(_LINE_BYTES_MAX):
                pass
            return False
        writer.write(f"{body}errno=0\n\n".encode())
        return True


async def _blank(reader: asyncio.StreamReader) -> None:
    if await reader.readexactly(1) != b"\n":
        raise UapiError(errno.EINVAL, "something follows the operation")


async def _lines(reader: asyncio.StreamReader) -> list[str]:
    """Up to the blank line; the end of what a client sends ends a request, too (wireguard-go)."""
    lines: list[str] = []
    total = 0
    while True:
        try:
            raw = await reader.readuntil(b"\n")
        except asyncio.LimitOverrunError as error:
            raise UapiError(errno.EIO, "the line is too long") from error
        except asyncio.IncompleteReadError as error:
            raw = error.partial
            if not raw:
                return lines
        total += len(raw)
        if total > _REQUEST_BYTES_MAX:
            raise UapiError(errno.EIO, "the request is too long")
        line = raw.decode(errors="replace").removesuffix("\n").removesuffix("\r")
        if not line:
            return lines
        lines.append(line)


def _named(address: str) -> Path:
    """What a socket is called by now that was bound to `address`; see `listen`."""
    bound = Path(address)
    return bound.with_name(re.sub(r"^\.\d+\.", "", bound.name))


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


class _DeletionWatch:
    """Calls once when a path no longer names the file it named at first."""

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

    def is_ours(self) -> bool:
        return self._inode is not None and _inode(self._path) == self._inode

    def close(self) -> None:
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _ready(self) -> None:
        os.read(self._descriptor, 4096)
        if not self.is_ours():
            self.close()
            self._on_deleted()


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
