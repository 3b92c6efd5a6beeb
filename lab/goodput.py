"""Bytes over TCP by the clock; a script of its own that runs inside the lab's machines.

    give ADDRESS PORT              gives each client bytes until it goes
    take ADDRESS PORT SECONDS      takes them; prints one JSON object: [time, bytes so far] every 50 ms

Times are of CLOCK_MONOTONIC, which all namespaces share.
"""

import json
import socket
import sys
import threading
import time

_STEP_S = 0.05
_BLOCK = bytes(1 << 20)


def give(address: str, port: str) -> None:
    """Serves for ever."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, int(port)), family=family)
    print("listening", flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_give_one, args=(connection,), daemon=True).start()


def _give_one(connection: socket.socket) -> None:
    with connection:
        try:
            while True:
                connection.sendall(_BLOCK)
        except OSError:
            pass  # the client has had enough


def take(address: str, port: str, seconds: str) -> None:
    """Takes for a while."""
    samples: list[tuple[float, int]] = []
    received, room = 0, bytearray(1 << 20)
    with socket.create_connection((address, int(port)), timeout=10) as connection:
        connection.settimeout(_STEP_S)
        started = next_sample = time.monotonic()
        while (now := time.monotonic()) < started + float(seconds):
            if now >= next_sample:
                samples.append((now, received))
                next_sample += _STEP_S
            try:
                n = connection.recv_into(room)
            except TimeoutError:
                continue
            if n == 0:
                break
            received += n
        samples.append((time.monotonic(), received))
    print(json.dumps(samples), flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["give", address, port]:
            give(address, port)
        case ["take", address, port, seconds]:
            take(address, port, seconds)
        case _:
            sys.exit(__doc__)
