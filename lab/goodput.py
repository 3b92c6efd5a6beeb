"""A TCP flow sampled over time; a script that runs inside a machine.

    send ADDRESS PORT                 sends bytes to each client until the client closes
    receive ADDRESS PORT SECONDS      receives them; prints a JSON list of [time, bytes so far], every 50 ms

Times are of CLOCK_MONOTONIC, which all namespaces share.
"""

import json
import socket
import sys
import threading
import time

_STEP_S = 0.05
_BLOCK = bytes(1 << 20)


def send(address: str, port: str) -> None:
    """Serves until killed."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, int(port)), family=family)
    print("listening", flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_send_one, args=(connection,), daemon=True).start()


def _send_one(connection: socket.socket) -> None:
    with connection:
        try:
            while True:
                connection.sendall(_BLOCK)
        except OSError:
            pass  # the client has closed


def receive(address: str, port: str, seconds: str) -> None:
    """Receives for some seconds."""
    samples: list[tuple[float, int]] = []
    received, buffer = 0, bytearray(1 << 20)
    with socket.create_connection((address, int(port)), timeout=10) as connection:
        connection.settimeout(_STEP_S)
        started = next_sample = time.monotonic()
        while (now := time.monotonic()) < started + float(seconds):
            if now >= next_sample:
                samples.append((now, received))
                next_sample += _STEP_S
            try:
                n = connection.recv_into(buffer)
            except TimeoutError:
                continue
            if n == 0:
                break
            received += n
        samples.append((time.monotonic(), received))
    print(json.dumps(samples), flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["send", address, port]:
            send(address, port)
        case ["receive", address, port, seconds]:
            receive(address, port, seconds)
        case _:
            sys.exit(__doc__)
