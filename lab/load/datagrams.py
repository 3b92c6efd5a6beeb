"""UDP at a rate, or as fast as it goes.

    sink ADDRESS PORT
    source ADDRESS PORT LENGTH RATE     RATE: datagrams a second; 0: a flood

In: a length (at least 16: each datagram bears its window's start and its number); a window, on standard
input. Out: the sink's {"received", "late"}, the source's {"sent"}, all of the window but late, which counts
from the first datagram on: those that came behind one that was sent after them. Drops: what an earlier
source left in a tunnel's queues. What is due is sent each millisecond, as iperf3 does. A flood is sent, and
all is received, 32 at a time (sendmmsg(2), recvmmsg(2)): one at a time, Python would be what is measured.
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
# Of one call, and between two looks at the clock.
_RUN = 32
_ROOM = 2048
_MSG_WAITFORONE = 0x10000  # linux/socket.h
_BUFFER_BYTES = 4 << 20
# asm-generic/socket.h; not in Python's module.
_SO_RCVBUFFORCE = 33


class _Piece(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """struct msghdr."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint),
        ("pieces", ctypes.POINTER(_Piece)),
        ("piece_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """struct mmsghdr."""

    _fields_ = (("header", _Header), ("length", ctypes.c_uint))


class Run:
    """Room for 32 datagrams side by side, `stride` bytes apart, and the calls that fill or send them."""

    def __init__(self, stride: int) -> None:
        self.bytes = bytearray(_RUN * stride)
        self.offsets = range(0, _RUN * stride, stride)
        self._libc = ctypes.CDLL(None, use_errno=True)
        first = ctypes.addressof(ctypes.c_char.from_buffer(self.bytes))
        self._pieces = (_Piece * _RUN)(*[_Piece(first + at, stride) for at in self.offsets])
        self._messages = (_Message * _RUN)(
            *[
                _Message(_Header(pieces=ctypes.pointer(piece), piece_count=1))
                for piece in self._pieces
            ]
        )

    def send(self, giving: socket.socket) -> None:
        """All of them, to where the socket is connected. Raises OSError."""
        self._judge(self._libc.sendmmsg(giving.fileno(), self._messages, _RUN, 0))

    def receive(self, taking: socket.socket) -> int:
        """How many have come, at least one. Raises OSError; BlockingIOError at the socket's time limit."""
        taken = self._libc.recvmmsg(taking.fileno(), self._messages, _RUN, _MSG_WAITFORONE, None)
        return self._judge(taken)

    def _judge(self, result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, errno.errorcode.get(number, str(number)))
        return result


def sink(address: str, port: int) -> dict[str, int]:
    """Counts what comes."""
    received = late = 0
    highest = -1
    run = Run(_ROOM)
    clock, header_of = time.monotonic, _HEADER.unpack_from
    with socket.socket(_family(address), socket.SOCK_DGRAM) as taking:
        _widen(taking)
        taking.bind((address, port))
        # Of the socket, not of Python, which would ask the kernel twice.
        taking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 50_000))
        start, end = _window()
        while (now := clock()) < end:
            try:
                count = run.receive(taking)
            except BlockingIOError:
                continue
            for at in run.offsets[:count]:
                source_start, number = header_of(run.bytes, at)
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
    """Sends until the end."""
    start, end = _window()
    clock = time.monotonic
    with socket.socket(_family(address), socket.SOCK_DGRAM) as giving:
        giving.connect((address, port))
        send = _at_rate(giving, start, length, rate) if rate else _flood(giving, start, length)
        in_window = 0
        now = clock()
        while now < end:
            sent = send()
            if now >= start:
                in_window += sent
            now = clock()
    return {"sent": in_window}


def _at_rate(giving: socket.socket, start: float, length: int, rate: int) -> Callable[[], int]:
    """Sends what is due, and waits for the next millisecond; returns how many it were."""
    data = bytearray(length)
    began = time.monotonic()
    sent = 0

    def send() -> int:
        nonlocal sent
        due = int((time.monotonic() - began) * rate) - sent
        with contextlib.suppress(ConnectionRefusedError):  # the sink has reached the end first
            for number in range(sent, sent + due):
                _HEADER.pack_into(data, 0, start, number)
                giving.send(data)
        sent += due
        time.sleep(_TICK_S)
        return due

    return send


def _flood(giving: socket.socket, start: float, length: int) -> Callable[[], int]:
    """Sends 32."""
    run = Run(length)
    write_header = _HEADER.pack_into
    sent = 0

    def send() -> int:
        nonlocal sent
        for number, at in enumerate(run.offsets, sent):
            write_header(run.bytes, at, start, number)
        sent += _RUN
        with contextlib.suppress(ConnectionRefusedError):
            run.send(giving)
        return _RUN

    return send


def _window() -> tuple[float, float]:
    print("ready", flush=True)
    start, end = map(float, input().split())
    return start, end


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _widen(taking: socket.socket) -> None:
    for option in (_SO_RCVBUFFORCE, socket.SO_RCVBUF):
        try:
            taking.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
        except PermissionError:
            continue  # in a user namespace: what rmem_max allows
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
