"""A UDP relay between two endpoints; a script that runs inside a machine.

    relay.py HERE THERE --near ADDRESS:PORT --far ADDRESS:PORT [--delay-ms N] [--rebind-ms N]

Datagrams from `--near` arrive at HERE and go to `--far` from the socket THERE; answers return the same way.
--delay-ms delays each datagram. --rebind-ms gives THERE a new port at this interval, like a NAT that loses
its mapping. Prints "relaying", and at SIGTERM one JSON object: the datagrams relayed, by message type.
"""

import argparse
import heapq
import json
import selectors
import signal
import socket
import sys
import time
from collections import Counter

_Address = tuple[str, int]


def main() -> None:
    """Relays until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("here", type=_address)
    parser.add_argument("there", type=_address)
    parser.add_argument("--near", type=_address, required=True)
    parser.add_argument("--far", type=_address, required=True)
    parser.add_argument("--delay-ms", type=float, default=0)
    parser.add_argument("--rebind-ms", type=float, default=0)
    arguments = parser.parse_args()
    Relay(arguments).run()


class Relay:
    """Both directions, with one heap of delayed datagrams."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._selector = selectors.DefaultSelector()
        self._here = self._open(arguments.here)
        self._there = self._open(arguments.there)
        self._delayed: list[tuple[float, int, bool, bytes]] = []
        self._number = 0
        self._relayed: Counter[str] = Counter()
        self._ports: list[int] = [arguments.there[1]]

    def run(self) -> None:
        """Relays until SIGTERM."""
        signal.signal(signal.SIGTERM, self._exit)
        print("relaying", flush=True)
        rebind = self._arguments.rebind_ms / 1000
        rebind_at = time.monotonic() + rebind if rebind else float("inf")
        while True:
            due = min(self._delayed[0][0] if self._delayed else float("inf"), rebind_at)
            wait = None if due == float("inf") else max(0.0, due - time.monotonic())
            for key, _ in self._selector.select(wait):
                self._receive(key.fileobj is self._here, key.fileobj)  # type: ignore[arg-type]
            while self._delayed and self._delayed[0][0] <= time.monotonic():
                self._send(*heapq.heappop(self._delayed)[2:])
            if time.monotonic() >= rebind_at:
                rebind_at += rebind
                self._selector.unregister(self._there)
                self._there.close()
                self._there = self._open((self._arguments.there[0], 0))
                self._ports.append(self._there.getsockname()[1])

    def _open(self, address: _Address) -> socket.socket:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        opened = socket.socket(family, socket.SOCK_DGRAM)
        opened.setblocking(False)
        opened.bind(address)
        self._selector.register(opened, selectors.EVENT_READ)
        return opened

    def _receive(self, is_from_near: bool, at: socket.socket) -> None:
        try:
            data = at.recv(65536)
        except OSError:
            return  # no datagram after all, or an ICMP error
        due = time.monotonic() + self._arguments.delay_ms / 1000
        self._number += 1
        heapq.heappush(self._delayed, (due, self._number, is_from_near, data))

    def _send(self, is_from_near: bool, data: bytes) -> None:
        self._relayed[f"{'near' if is_from_near else 'far'} {data[0]}"] += 1
        try:
            if is_from_near:
                self._there.sendto(data, self._arguments.far)
            else:
                self._here.sendto(data, self._arguments.near)
        except OSError:
            self._relayed["refused"] += 1

    def _exit(self, _number: int, _frame: object) -> None:
        print(json.dumps({"relayed": self._relayed, "ports": self._ports}), flush=True)
        sys.exit(0)


def _address(text: str) -> _Address:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


if __name__ == "__main__":
    main()
