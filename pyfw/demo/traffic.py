"""Traffic with a digest at both ends; a script of its own that runs inside the lab's machines.

    serve ADDRESS PORT               TCP: takes or gives bytes, as each client asks
    up|down ADDRESS PORT BYTES       TCP: gives bytes to the server, or takes them
    udp-sink ADDRESS PORT COUNT      UDP: takes datagrams, answers each window
    udp-source ADDRESS PORT COUNT --lengths 1-1400 --ecn 2,3

Each transfer prints one JSON object. Digests are computed while no clock runs: a sender's before its
first byte, a receiver's after its last, so that hashing is not what is measured.
"""

import argparse
import contextlib
import hashlib
import json
import mmap
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from io import RawIOBase
from pathlib import Path

_BLOCK = 16 << 20
_READ = 1 << 20
# A receiver keeps what it gets if that fits into a third of the free memory; else it hashes on the go.
_MEMORY_SHARE = 3
# Datagrams in flight before the sink has to answer: below every default receive buffer.
_WINDOW = 32
_ECN_MASK = 3


def main() -> None:
    """Runs one command."""
    commands = {
        "serve": serve,
        "up": up,
        "down": down,
        "udp-sink": udp_sink,
        "udp-source": udp_source,
    }
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=list(commands))
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("amount", type=int, nargs="?", default=0)
    parser.add_argument("--lengths", default="1-1400")
    parser.add_argument("--ecn", default="0")
    arguments = parser.parse_args()
    commands[arguments.command](arguments)


# TCP


def serve(arguments: argparse.Namespace) -> None:
    """Serves each connection in a thread, for ever."""
    family = socket.AF_INET6 if ":" in arguments.address else socket.AF_INET
    listener = socket.create_server((arguments.address, arguments.port), family=family)
    _control(listener)
    print("listening", flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_serve_one, args=(connection,), daemon=True).start()


def _serve_one(connection: socket.socket) -> None:
    with connection, connection.makefile("rwb", buffering=0) as stream:
        direction, amount = _line(stream).split()
        if direction == "down":
            _send(connection, stream, int(amount))
        else:
            seconds, sent, received = _receive(connection, stream, int(amount))
            _write(stream, json.dumps([seconds, sent, received]))


def up(arguments: argparse.Namespace) -> None:
    """Gives the server bytes. The server's clock counts."""
    with _connect(arguments) as connection, connection.makefile("rwb", buffering=0) as stream:
        _write(stream, f"up {arguments.amount}")
        _send(connection, stream, arguments.amount)
        _report(arguments.amount, *json.loads(_line(stream)))


def down(arguments: argparse.Namespace) -> None:
    """Takes bytes from the server."""
    with _connect(arguments) as connection, connection.makefile("rwb", buffering=0) as stream:
        _write(stream, f"down {arguments.amount}")
        _report(arguments.amount, *_receive(connection, stream, arguments.amount))


def _connect(arguments: argparse.Namespace) -> socket.socket:
    connection = socket.create_connection((arguments.address, arguments.port), timeout=60)
    _control(connection)
    return connection


def _control(what: socket.socket) -> None:
    # Of the socket: see lab.load.flows. Here it is not what is judged.
    with contextlib.suppress(OSError):
        what.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")


def _report(amount: int, seconds: float, sent: str, received: str) -> None:
    print(
        json.dumps(
            {"bytes": amount, "seconds": seconds, "sent_sha256": sent, "received_sha256": received}
        ),
        flush=True,
    )


def _send(connection: socket.socket, stream: RawIOBase, amount: int) -> None:
    digest = hashlib.sha256()
    for chunk in _content(amount):
        digest.update(chunk)
    _line(stream)  # the receiver has its memory ready
    for chunk in _content(amount):
        connection.sendall(chunk)
    _write(stream, digest.hexdigest())


def _content(amount: int) -> Iterator[memoryview]:
    # Each block is stamped with its number, so that no two of them are equal.
    block = bytearray(random.Random(amount).randbytes(min(_BLOCK, max(amount, 8))))
    for number, start in enumerate(range(0, amount, _BLOCK)):
        block[:8] = number.to_bytes(8, "big")
        yield memoryview(block)[: amount - start]


def _receive(connection: socket.socket, stream: RawIOBase, amount: int) -> tuple[float, str, str]:
    """Seconds from the first byte to the last, the digest that was announced, the digest that came."""
    keep = amount < _available_bytes() // _MEMORY_SHARE
    # Populated ahead: page faults are not what is measured.
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    kept = memoryview(mmap.mmap(-1, max(amount if keep else _READ, 1), flags=flags))
    digest = hashlib.sha256()
    _write(stream, "ready")
    received, started = 0, 0.0
    while received < amount:
        start = received if keep else 0
        n = connection.recv_into(kept[start:], min(_READ, amount - received))
        if n == 0:
            raise ConnectionError(f"ended after {received} of {amount} bytes")
        if not received:
            started = time.perf_counter()
        if not keep:
            digest.update(kept[:n])
        received += n
    seconds = time.perf_counter() - started
    if keep:
        digest.update(kept[:amount])
    return seconds, _line(stream), digest.hexdigest()


def _available_bytes() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def _line(stream: RawIOBase) -> str:
    return (stream.readline() or b"").decode().strip()


def _write(stream: RawIOBase, line: str) -> None:
    stream.write(line.encode() + b"\n")


# UDP. The digest covers length, ECN and bytes of every datagram in the order of arrival, so equal
# digests say: all came, unchanged, in order, with the ECN they were sent with.


def udp_sink(arguments: argparse.Namespace) -> None:
    """Takes datagrams until the count is reached, answering at the end of each window."""
    digest, ecns, entries = hashlib.sha256(), Counter[int](), list[str]()
    with _udp(arguments.address) as sink:
        sink.bind((arguments.address, arguments.port))
        print("listening", flush=True)
        for number in range(arguments.amount):
            data, ancillary, _, source = sink.recvmsg(65536, socket.CMSG_SPACE(4))
            ecn = next((value[0] & _ECN_MASK for _, _, value in ancillary), 0)
            ecns[ecn] += 1
            digest.update(_entry(ecn, data))
            entries.append(_known_by(ecn, data))
            if _closes_window(number, arguments.amount):
                sink.sendto(b"ack", source)
    found = {"sha256": digest.hexdigest(), "ecn": ecns, "entries": entries}
    print(json.dumps(found), flush=True)


def udp_source(arguments: argparse.Namespace) -> None:
    """Gives datagrams of all the lengths in turn; the ECN changes from one to the next."""
    first, _, last = arguments.lengths.partition("-")
    lengths = range(int(first), int(last or first) + 1)
    ecns = [int(ecn) for ecn in arguments.ecn.split(",")]
    digest, noise, entries = hashlib.sha256(), random.Random(0), list[str]()
    with _udp(arguments.address) as source:
        source.connect((arguments.address, arguments.port))
        for number in range(arguments.amount):
            ecn = ecns[number % len(ecns)]
            # A stride through the lengths, so that neighbours differ and each is used.
            data = noise.randbytes(lengths[number * 577 % len(lengths)])
            _set_ecn(source, ecn)
            digest.update(_entry(ecn, data))
            entries.append(_known_by(ecn, data))
            source.send(data)
            if _closes_window(number, arguments.amount):
                source.recv(16)
    print(json.dumps({"sha256": digest.hexdigest(), "entries": entries}), flush=True)


def _udp(address: str) -> socket.socket:
    datagrams = socket.socket(
        socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM
    )
    datagrams.settimeout(5)
    if datagrams.family == socket.AF_INET6:
        datagrams.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
    else:
        datagrams.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
    return datagrams


def _set_ecn(datagrams: socket.socket, ecn: int) -> None:
    if datagrams.family == socket.AF_INET6:
        datagrams.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, ecn)
    else:
        datagrams.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, ecn)


def _entry(ecn: int, data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + bytes([ecn]) + data


def _known_by(ecn: int, data: bytes) -> str:
    """What a datagram is found again by, where the digests differ: its ECN, length and content."""
    return f"{ecn}/{len(data)}/{hashlib.sha256(data).hexdigest()[:8]}"


def _closes_window(number: int, count: int) -> bool:
    return number % _WINDOW == _WINDOW - 1 or number == count - 1


if __name__ == "__main__":
    main()
