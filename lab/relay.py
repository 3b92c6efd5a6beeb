"""A UDP relay between two ends; a script of its own that runs inside the lab's machines.

    relay.py HERE THERE --near ADDRESS:PORT --far ADDRESS:PORT [--delay-ms N] [--rebind-ms N]

What comes to HERE (of `--near`) goes on to `--far`, from the socket THERE; answers come back the same
way. --delay-ms holds each datagram for so long. --rebind-ms gives THERE another port each time, as a NAT
does that forgets. Prints "relaying", and at SIGTERM one JSON object: what it passed on, by type.
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
    """Relays until it is told to end."""
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
    """Both directions, one heap of what is held."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._selector = selectors.DefaultSelector()
        self._here = self._open(arguments.here)
        self._there = self._open(arguments.there)
        self._held: list[tuple[float, int, bool, bytes]] = []
        self._number = 0
        self._passed: Counter[str] = Counter()
        self._ports: list[int] = [arguments.there[1]]

    def run(self) -> None:
        """For ever."""
        signal.signal(signal.SIGTERM, self._end)
        print("relaying", flush=True)
        rebind = self._arguments.rebind_ms / 1000
        rebind_at = time.monotonic() + rebind if rebind else float("inf")
        while True:
            due = min(self._held[0][0] if self._held else float("inf"), rebind_at)
            wait = None if due == float("inf") else max(0.0, due - time.monotonic())
            for key, _ in self._selector.select(wait):
                self._take(key.fileobj is self._here, key.fileobj)  # type: ignore[arg-type]
            while self._held and self._held[0][0] <= time.monotonic():
                self._pass_on(*heapq.heappop(self._held)[2:])
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

    def _take(self, is_from_near: bool, at: socket.socket) -> None:
        try:
            data = at.recv(65536)
        except OSError:
            return  # nothing there, or an ICMP error
        due = time.monotonic() + self._arguments.delay_ms / 1000
        self._number += 1
        heapq.heappush(self._held, (due, self._number, is_from_near, data))

    def _pass_on(self, is_from_near: bool, data: bytes) -> None:
        self._passed[f"{'near' if is_from_near else 'far'} {data[0]}"] += 1
        try:
            if is_from_near:
                self._there.sendto(data, self._arguments.far)
            else:
                self._here.sendto(data, self._arguments.near)
        except OSError:
            self._passed["refused"] += 1

    def _end(self, _number: int, _frame: object) -> None:
        print(json.dumps({"passed": self._passed, "ports": self._ports}), flush=True)
        sys.exit(0)


def _address(text: str) -> _Address:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


if __name__ == "__main__":
    main()
