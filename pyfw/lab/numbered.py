"""A stream of numbered datagrams; a script of its own that runs inside the lab's machines.

    sink ADDRESS PORT                        takes until it is told to end (SIGTERM)
    source ADDRESS PORT SECONDS RATE SIZE    gives RATE datagrams a second

Each prints one JSON object. Times are of CLOCK_MONOTONIC, which all namespaces share. A source that is
refused (no route, a firewall, an ICMP error) counts that by its name and goes on with the next number.
"""

import errno
import json
import signal
import socket
import sys
import time
from collections import Counter

_NUMBER_BYTES = 8
_BUFFER_BYTES = 4 << 20


def sink(address: str, port: str) -> None:
    """Prints the arrivals: pairs of a number and a time."""
    arrivals: list[tuple[int, float]] = []
    with _socket(address) as taking:
        taking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        taking.bind((address, int(port)))

        def end(_number: int, _frame: object) -> None:
            print(json.dumps(arrivals), flush=True)
            sys.exit(0)

        signal.signal(signal.SIGTERM, end)
        print("listening", flush=True)
        while True:
            try:
                data = taking.recv(65536)
            except OSError:
                continue  # an ICMP error that belonged to somebody else's send
            arrivals.append((int.from_bytes(data[:_NUMBER_BYTES], "big"), time.monotonic()))


def source(address: str, port: str, seconds: str, rate: str, size: str) -> None:
    """Prints how many it gave, from when until when, and what it was refused with."""
    count, interval = int(float(seconds) * int(rate)), 1 / int(rate)
    refusals: Counter[str] = Counter()
    filling = bytes(max(0, int(size) - _NUMBER_BYTES))
    with _socket(address) as giving:
        giving.connect((address, int(port)))
        started = time.monotonic()
        for number in range(count):
            wait = started + number * interval - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            try:
                giving.send(number.to_bytes(_NUMBER_BYTES, "big") + filling)
            except OSError as error:
                refusals[errno.errorcode.get(error.errno or 0, str(error))] += 1
        print(
            json.dumps(
                {
                    "sent": count,
                    "started": started,
                    "ended": time.monotonic(),
                    "refusals": refusals,
                }
            ),
            flush=True,
        )


def _socket(address: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["sink", address, port]:
            sink(address, port)
        case ["source", address, port, seconds, rate, size]:
            source(address, port, seconds, rate, size)
        case _:
            sys.exit(__doc__)
