"""A page of many resources of mixed sizes; a script that runs inside a machine.

    make DIRECTORY                   writes the page
    serve DIRECTORY ADDRESS PORT     serves it, if nginx is not installed
    load ADDRESS PORT                loads it as a browser does, and prints one JSON object

Each resource is named by the SHA-256 of its bytes, so that the loader can verify it.
"""

import functools
import hashlib
import http.client
import http.server
import json
import random
import re
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue

# Like a web shop: many small resources, some pictures, a few large ones.
_LENGTHS = [
    *(200, 420, 512, 700, 1_024, 1_228, 1_420, 1_452, 2_000, 2_900),
    *(4_096, 5_000, 6_600, 8_192, 9_000, 12_000, 15_000, 16_384, 20_000, 24_000),
    *(30_000, 36_000, 45_000, 52_000, 64_000, 65_536, 80_000, 100_000, 130_000, 160_000),
    *(200_000, 250_000, 320_000, 500_000, 800_000, 1_500_000),
]
# As many as browsers open to one host.
_CONNECTIONS = 6


def make(directory: str) -> None:
    """Writes the index and its resources."""
    root, noise = Path(directory), random.Random(0)
    root.mkdir()
    names = []
    for length in _LENGTHS:
        content = noise.randbytes(length)
        names.append(hashlib.sha256(content).hexdigest())
        (root / names[-1]).write_bytes(content)
    links = "\n".join(f'<img src="{name}" alt="">' for name in names)
    (root / "index.html").write_text(f"<!doctype html><title>pyfw</title>\n{links}\n")


def serve(directory: str, address: str, port: str) -> None:
    """Serves the directory until killed."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (inherited)
            """Logs nothing."""

    class Server(http.server.ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in address else socket.AF_INET

    with Server((address, int(port)), functools.partial(Handler, directory=directory)) as server:
        server.serve_forever()


def load(address: str, port: str) -> None:
    """Loads the index, then its resources over several connections at once."""
    started = time.perf_counter()
    index = _get(http.client.HTTPConnection(address, int(port), timeout=10), "")
    waiting: SimpleQueue[str] = SimpleQueue()
    for name in re.findall(rb'src="([0-9a-f]+)"', index):
        waiting.put(name.decode())
    count = waiting.qsize()
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        loads = [pool.submit(_load_some, address, int(port), waiting) for _ in range(_CONNECTIONS)]
        totals = [load.result() for load in loads]
    print(
        json.dumps(
            {
                "resources": count,
                "bytes": len(index) + sum(size for size, _ in totals),
                "seconds": time.perf_counter() - started,
                "sha256_equal": all(equal for _, equal in totals),
            }
        )
    )


def _load_some(address: str, port: int, waiting: SimpleQueue[str]) -> tuple[int, bool]:
    connection = http.client.HTTPConnection(address, port, timeout=10)
    size, equal = 0, True
    while True:
        try:
            name = waiting.get_nowait()
        except Empty:
            connection.close()
            return size, equal
        content = _get(connection, name)
        size += len(content)
        equal = equal and hashlib.sha256(content).hexdigest() == name


def _get(connection: http.client.HTTPConnection, name: str) -> bytes:
    connection.request("GET", f"/{name}")
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        raise RuntimeError(f"{name}: HTTP status {response.status}")
    return content


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["make", directory]:
            make(directory)
        case ["serve", directory, address, port]:
            serve(directory, address, port)
        case ["load", address, port]:
            load(address, port)
        case _:
            sys.exit(__doc__)
