"""TCP flows, up to the server and down from it, as fast as they go.

    serve ADDRESS PORT
    connect ADDRESS PORT UP DOWN

In: how many flows each way; a window, on standard input. Out, at each end: {"bytes": received in the
window, "controlled_by": [congestion controls of its flows]}. One thread serves all flows; a socket gives
and takes as much at a time as it has room for, and a flow that has to wait, for its first answer as well,
holds up no other.
"""

import json
import select
import socket
import sys
import time
from collections.abc import Callable
from functools import partial

_READ = 256 << 10
_WRITE = 1 << 20
# Who reads its clock last sees the other end's leaving.
_AT_THE_END_S = 0.01
# What most hosts have.
_CONGESTION = b"cubic"
_UP, _DOWN = b"u", b"d"


class Flows:
    """One end of all flows."""

    def __init__(self) -> None:
        self._start = self._end = 0.0
        self._epoll = select.epoll()
        self._actions: dict[int, Callable[[], None]] = {}
        self._sockets: list[socket.socket] = []
        self._into = memoryview(bytearray(_READ))
        self._block = memoryview(bytes(_WRITE))
        self.received = 0
        self.controlled_by: set[str] = set()

    def serve(self, address: str, port: int) -> None:
        """Takes flows until the window ends; the first byte of each says which way it goes."""
        with socket.create_server(
            (address, port), family=_family(address), backlog=256
        ) as listener:
            _control(listener)
            listener.setblocking(False)
            self._watch(listener, select.EPOLLIN, lambda: self._accept(listener))
            self._wait_for_window()
            self._run()

    def connect(self, address: str, port: int, up: int, down: int) -> None:
        """Makes flows, all at once, and keeps them going until the window ends."""
        self._wait_for_window()
        for way in [_UP] * up + [_DOWN] * down:
            flow = socket.socket(_family(address), socket.SOCK_STREAM)
            _control(flow)
            flow.setblocking(False)
            flow.connect_ex((address, port))
            self._watch(flow, select.EPOLLOUT, partial(self._begin, flow, way))
        self._run()

    def _wait_for_window(self) -> None:
        print("ready", flush=True)
        self._start, self._end = map(float, input().split())

    def _run(self) -> None:
        """Raises ConnectionError where a flow breaks before the end of the window."""
        while (now := time.monotonic()) < self._end:
            for number, _ in self._epoll.poll(self._end - now):
                try:
                    self._actions[number]()
                except BlockingIOError:
                    continue
                except ConnectionError:
                    if time.monotonic() < self._end - _AT_THE_END_S:
                        raise
                    return

    def _watch(self, what: socket.socket, event: int, action: Callable[[], None]) -> None:
        if what.fileno() in self._actions:
            self._epoll.modify(what, event)
        else:
            self._sockets.append(what)
            self._epoll.register(what, event)
        self._actions[what.fileno()] = action

    def _accept(self, listener: socket.socket) -> None:
        flow, _ = listener.accept()
        flow.setblocking(False)
        self._watch(flow, select.EPOLLIN, lambda: self._answer(flow))

    def _begin(self, flow: socket.socket, way: bytes) -> None:
        flow.send(way)
        self._carry(flow, gives=way == _UP)

    def _answer(self, flow: socket.socket) -> None:
        self._carry(flow, gives=flow.recv(1) == _DOWN)

    def _carry(self, flow: socket.socket, gives: bool) -> None:
        control = flow.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
        self.controlled_by.add(control.rstrip(b"\0").decode())
        if gives:
            self._watch(flow, select.EPOLLOUT, lambda: self._give(flow))
        else:
            self._watch(flow, select.EPOLLIN, lambda: self._take(flow))

    def _give(self, flow: socket.socket) -> None:
        flow.send(self._block)

    def _take(self, flow: socket.socket) -> None:
        n = flow.recv_into(self._into)
        if n == 0:
            raise ConnectionResetError("a flow ended too early")
        if self._start <= time.monotonic() < self._end:
            self.received += n


def _control(flow: socket.socket) -> None:
    """Has it, and what it accepts, controlled by the one that figures are compared with.

    As the default of a namespace the kernel takes only what any user of the machine may choose
    (net/ipv4/tcp_cong.c) and else keeps the machine's own, so it is asked for each socket. Raises
    SystemExit where the kernel has none.
    """
    try:
        flow.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, _CONGESTION)
    except FileNotFoundError:
        raise SystemExit(
            "the kernel has no congestion control `cubic` (CONFIG_TCP_CONG_CUBIC)"
        ) from None


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def main(command: str, address: str, port: str, *counts: str) -> None:
    """Runs one end."""
    flows = Flows()
    if command == "serve":
        flows.serve(address, int(port))
    else:
        flows.connect(address, int(port), int(counts[0]), int(counts[1]))
    told = {"bytes": flows.received, "controlled_by": sorted(flows.controlled_by)}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
