"""TCP transfers with a digest at both ends; a script that runs inside a machine.

    serve ADDRESS PORT               sends or receives bytes, as each client asks
    up|down ADDRESS PORT BYTES       sends bytes to the server, or receives them

Each transfer prints one JSON object. Digests are computed outside the measured time, a sender's before its
first byte and a receiver's after its last, so that hashing is not measured.
"""

import contextlib
import hashlib
import json
import mmap
import random
import socket
import sys
import threading
import time
from collections.abc import Iterator
from io import RawIOBase
from pathlib import Path

_BLOCK = 16 << 20
_READ = 1 << 20
# A receiver stores a transfer that fits into a third of the free memory, and hashes a larger one on the go.
_MEMORY_SHARE = 3


def serve(address: str, port: int) -> None:
    """Serves each connection in a thread, until killed."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, port), family=family)
    _use_cubic(listener)
    print("listening", flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_serve_one, args=(connection,), daemon=True).start()


def _serve_one(connection: socket.socket) -> None:
    with connection, connection.makefile("rwb", buffering=0) as stream:
        direction, amount = _read_line(stream).split()
        if direction == "down":
            _send(connection, stream, int(amount))
        else:
            _write_line(stream, json.dumps(_receive(connection, stream, int(amount))))


def up(address: str, port: int, amount: int) -> None:
    """Sends bytes to the server, which times them."""
    with _connect(address, port) as connection, connection.makefile("rwb", buffering=0) as stream:
        _write_line(stream, f"up {amount}")
        _send(connection, stream, amount)
        _report(amount, *json.loads(_read_line(stream)))


def down(address: str, port: int, amount: int) -> None:
    """Receives bytes from the server."""
    with _connect(address, port) as connection, connection.makefile("rwb", buffering=0) as stream:
        _write_line(stream, f"down {amount}")
        _report(amount, *_receive(connection, stream, amount))


def _connect(address: str, port: int) -> socket.socket:
    connection = socket.create_connection((address, port), timeout=60)
    _use_cubic(connection)
    return connection


def _use_cubic(endpoint: socket.socket) -> None:
    # On the socket, as a namespace's default is restricted (net/ipv4/tcp_cong.c). A kernel without cubic uses
    # its default.
    with contextlib.suppress(OSError):
        endpoint.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")


def _report(amount: int, seconds: float, sent: str, received: str) -> None:
    result = {"bytes": amount, "seconds": seconds, "sent_sha256": sent, "received_sha256": received}
    print(json.dumps(result), flush=True)


def _send(connection: socket.socket, stream: RawIOBase, amount: int) -> None:
    digest = hashlib.sha256()
    for chunk in _content(amount):
        digest.update(chunk)
    _read_line(stream)  # the receiver has allocated its memory
    for chunk in _content(amount):
        connection.sendall(chunk)
    _write_line(stream, digest.hexdigest())


def _content(amount: int) -> Iterator[memoryview]:
    # Each block starts with its number, so that no two are equal.
    block = bytearray(random.Random(amount).randbytes(min(_BLOCK, max(amount, 8))))
    for number, start in enumerate(range(0, amount, _BLOCK)):
        block[:8] = number.to_bytes(8, "big")
        yield memoryview(block)[: amount - start]


def _receive(connection: socket.socket, stream: RawIOBase, amount: int) -> tuple[float, str, str]:
    """Returns the seconds from first to last byte, the digest announced, and the digest received."""
    stores_all = amount < _available_bytes() // _MEMORY_SHARE
    # Populated ahead, so that page faults are not measured.
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    buffer = memoryview(mmap.mmap(-1, max(amount if stores_all else _READ, 1), flags=flags))
    digest = hashlib.sha256()
    _write_line(stream, "ready")
    received, started = 0, 0.0
    while received < amount:
        start = received if stores_all else 0
        n = connection.recv_into(buffer[start:], min(_READ, amount - received))
        if n == 0:
            raise ConnectionError(f"ended after {received} of {amount} bytes")
        if not received:
            started = time.perf_counter()
        if not stores_all:
            digest.update(buffer[:n])
        received += n
    seconds = time.perf_counter() - started
    if stores_all:
        digest.update(buffer[:amount])
    return seconds, _read_line(stream), digest.hexdigest()


def _available_bytes() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def _read_line(stream: RawIOBase) -> str:
    return (stream.readline() or b"").decode().strip()


def _write_line(stream: RawIOBase, line: str) -> None:
    stream.write(line.encode() + b"\n")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", address, port]:
            serve(address, int(port))
        case ["up", address, port, amount]:
            up(address, int(port), int(amount))
        case ["down", address, port, amount]:
            down(address, int(port), int(amount))
        case _:
            sys.exit(__doc__)
