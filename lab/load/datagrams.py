"""UDP at a fixed rate, or as fast as possible.

    sink ADDRESS PORT
    source ADDRESS PORT LENGTH RATE     RATE: datagrams per second; 0: as fast as possible

LENGTH is at least 16: each datagram carries the start of its window and its number. The sink prints
{"received", "late"}, the source {"sent"}: datagrams of the window, but `late` counts from the first datagram
on those that arrived after a higher number. The sink ignores datagrams of an earlier window that were still
queued. At a fixed rate, what is due is sent each millisecond, like iperf3. A flood is sent, and everything
received, 32 at a time (sendmmsg(2), recvmmsg(2)): one at a time, the load would measure Python.
"""

import contextlib
import ctypes
import errno
import json
import socket
import struct
import sys
import time
from collections.abc import Callable

_HEADER = struct.Struct("<dQ")
_TICK_S = 0.001
# Datagrams of one call; the clock is read between calls.
_BATCH = 32
_MAX_LENGTH = 2048
_MSG_WAITFORONE = 0x10000  # linux/socket.h
_BUFFER_BYTES = 4 << 20
# asm-generic/socket.h; the socket module does not define it.
_SO_RCVBUFFORCE = 33


class _IoVec(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _MsgHdr(ctypes.Structure):
    """struct msghdr."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint),
        ("vectors", ctypes.POINTER(_IoVec)),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _MMsgHdr(ctypes.Structure):
    """struct mmsghdr."""

    _fields_ = (("header", _MsgHdr), ("length", ctypes.c_uint))


class Batch:
    """A buffer of 32 datagrams, `stride` bytes apart, and the calls that receive or send them."""

    def __init__(self, stride: int) -> None:
        self.bytes = bytearray(_BATCH * stride)
        self.offsets = range(0, _BATCH * stride, stride)
        self._libc = ctypes.CDLL(None, use_errno=True)
        first = ctypes.addressof(ctypes.c_char.from_buffer(self.bytes))
        self._vectors = (_IoVec * _BATCH)(*[_IoVec(first + at, stride) for at in self.offsets])
        self._messages = (_MMsgHdr * _BATCH)(
            *[
                _MMsgHdr(_MsgHdr(vectors=ctypes.pointer(vector), vector_count=1))
                for vector in self._vectors
            ]
        )

    def send(self, sender: socket.socket) -> None:
        """Sends all of them to the connected address. Raises OSError."""
        self._checked(self._libc.sendmmsg(sender.fileno(), self._messages, _BATCH, 0))

    def receive(self, receiver: socket.socket) -> int:
        """Receives at least one and returns how many. Raises OSError, at the timeout BlockingIOError."""
        count = self._libc.recvmmsg(
            receiver.fileno(), self._messages, _BATCH, _MSG_WAITFORONE, None
        )
        return self._checked(count)

    def _checked(self, result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, errno.errorcode.get(number, str(number)))
        return result


def sink(address: str, port: int) -> dict[str, int]:
    """Counts the datagrams that arrive."""
    received = late = 0
    highest = -1
    batch = Batch(_MAX_LENGTH)
    clock, header_of = time.monotonic, _HEADER.unpack_from
    with socket.socket(_family(address), socket.SOCK_DGRAM) as receiver:
        _enlarge_buffer(receiver)
        receiver.bind((address, port))
        # On the socket: Python's own timeout would cost a second system call.
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 50_000))
        start, end = _window()
        while (now := clock()) < end:
            try:
                count = batch.receive(receiver)
            except BlockingIOError:
                continue
            for at in batch.offsets[:count]:
                source_start, number = header_of(batch.bytes, at)
                if source_start != start:
                    continue
                if number < highest:
                    late += 1
                else:
                    highest = number
                if now >= start:
                    received += 1
    return {"received": received, "late": late}


def source(address: str, port: int, length: int, rate: int) -> dict[str, int]:
    """Sends until the end of the window."""
    start, end = _window()
    clock = time.monotonic
    with socket.socket(_family(address), socket.SOCK_DGRAM) as sender:
        sender.connect((address, port))
        send = _at_rate(sender, start, length, rate) if rate else _flood(sender, start, length)
        in_window = 0
        now = clock()
        while now < end:
            sent = send()
            if now >= start:
                in_window += sent
            now = clock()
    return {"sent": in_window}


def _at_rate(sender: socket.socket, start: float, length: int, rate: int) -> Callable[[], int]:
    """Returns a function that sends what is due, sleeps a millisecond, and returns how many it sent."""
    data = bytearray(length)
    began = time.monotonic()
    sent = 0

    def send() -> int:
        nonlocal sent
        due = int((time.monotonic() - began) * rate) - sent
        with contextlib.suppress(ConnectionRefusedError):  # the sink has ended first
            for number in range(sent, sent + due):
                _HEADER.pack_into(data, 0, start, number)
                sender.send(data)
        sent += due
        time.sleep(_TICK_S)
        return due

    return send


def _flood(sender: socket.socket, start: float, length: int) -> Callable[[], int]:
    """Returns a function that sends 32 datagrams and returns 32."""
    batch = Batch(length)
    write_header = _HEADER.pack_into
    sent = 0

    def send() -> int:
        nonlocal sent
        for number, at in enumerate(batch.offsets, sent):
            write_header(batch.bytes, at, start, number)
        sent += _BATCH
        with contextlib.suppress(ConnectionRefusedError):
            batch.send(sender)
        return _BATCH

    return send


def _window() -> tuple[float, float]:
    print("ready", flush=True)
    start, end = map(float, input().split())
    return start, end


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _enlarge_buffer(receiver: socket.socket) -> None:
    for option in (_SO_RCVBUFFORCE, socket.SO_RCVBUF):
        try:
            receiver.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
        except PermissionError:
            continue  # in a user namespace rmem_max is the limit
        return


def main(command: str, address: str, port: str, *numbers: str) -> None:
    """Runs one end."""
    if command == "sink":
        found = sink(address, int(port))
    else:
        found = source(address, int(port), int(numbers[0]), int(numbers[1]))
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
