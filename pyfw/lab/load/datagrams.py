"""UDP at a rate, or as fast as it goes.

    sink ADDRESS PORT
    source ADDRESS PORT LENGTH RATE     RATE: datagrams a second; 0: a flood

In: a length (at least 16: each datagram bears its window's start and its number); a window, on standard
input. Out: the sink's {"received", "late"}, the source's {"sent"}, all of the window but late, which counts
from the first datagram on: those that came behind one that was sent after them. Drops: what an earlier
source left in a tunnel's queues. What is due is sent each millisecond, as iperf3 does.
"""

import json
import socket
import struct
import sys
import time

_HEADER = struct.Struct("<dQ")
_TICK_S = 0.001
# Between two looks at the clock of a flood.
_RUN = 32
_BUFFER_BYTES = 4 << 20
# asm-generic/socket.h; not in Python's module.
_SO_RCVBUFFORCE = 33


def sink(address: str, port: int) -> dict[str, int]:
    """Counts what comes."""
    received = late = 0
    highest = -1
    buffer = bytearray(1 << 16)
    clock, header_of = time.monotonic, _HEADER.unpack_from
    with socket.socket(_family(address), socket.SOCK_DGRAM) as taking:
        _widen(taking)
        taking.bind((address, port))
        # Of the socket, not of Python, which would ask the kernel twice a datagram.
        taking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 50_000))
        start, end = _window()
        while (now := clock()) < end:
            try:
                taking.recv_into(buffer)
            except BlockingIOError:
                continue
            source_start, number = header_of(buffer)
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
    sent = in_window = 0
    data = bytearray(length)
    clock, write_header = time.monotonic, _HEADER.pack_into
    with socket.socket(_family(address), socket.SOCK_DGRAM) as giving:
        giving.connect((address, port))
        began = now = clock()
        while now < end:
            due = int((now - began) * rate) - sent if rate else _RUN
            try:
                for _ in range(due):
                    write_header(data, 0, start, sent)
                    sent += 1
                    giving.send(data)
            except ConnectionRefusedError:
                pass  # the sink has reached the end first
            if now >= start:
                in_window += due
            if rate:
                time.sleep(_TICK_S)
            now = clock()
    return {"sent": in_window}


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
