"""TCP flows, up to the server and down from it, as fast as possible.

    serve ADDRESS PORT
    connect ADDRESS PORT UP DOWN

UP and DOWN are the numbers of flows. Each end prints {"bytes": received in the window, "controlled_by":
[congestion controls of its flows]}. One thread serves all flows without blocking, so that a flow that waits
does not hold up another.
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
# An end that reads its clock later may see the other end close.
_END_TOLERANCE_S = 0.01
# The default of most hosts.
_CONGESTION = b"cubic"
_UP, _DOWN = b"u", b"d"


class Flows:
    """One end of all flows."""

    def __init__(self) -> None:
        self._start = self._end = 0.0
        self._epoll = select.epoll()
        self._actions: dict[int, Callable[[], None]] = {}
        self._sockets: list[socket.socket] = []
        self._buffer = memoryview(bytearray(_READ))
        self._block = memoryview(bytes(_WRITE))
        self.received = 0
        self.controlled_by: set[str] = set()

    def serve(self, address: str, port: int) -> None:
        """Accepts flows until the window ends; the first byte of each is its direction."""
        with socket.create_server(
            (address, port), family=_family(address), backlog=256
        ) as listener:
            _use_cubic(listener)
            listener.setblocking(False)
            self._register(listener, select.EPOLLIN, lambda: self._accept(listener))
            self._wait_for_window()
            self._run()

    def connect(self, address: str, port: int, up: int, down: int) -> None:
        """Opens all flows at once and keeps them running until the window ends."""
        self._wait_for_window()
        for direction in [_UP] * up + [_DOWN] * down:
            flow = socket.socket(_family(address), socket.SOCK_STREAM)
            _use_cubic(flow)
            flow.setblocking(False)
            flow.connect_ex((address, port))
            self._register(flow, select.EPOLLOUT, partial(self._begin, flow, direction))
        self._run()

    def _wait_for_window(self) -> None:
        print("ready", flush=True)
        self._start, self._end = map(float, input().split())

    def _run(self) -> None:
        """Handles events until the window ends. Raises ConnectionError if a flow breaks before."""
        while (now := time.monotonic()) < self._end:
            for number, _ in self._epoll.poll(self._end - now):
                try:
                    self._actions[number]()
                except BlockingIOError:
                    continue
                except ConnectionError:
                    if time.monotonic() < self._end - _END_TOLERANCE_S:
                        raise
                    return

    def _register(self, flow: socket.socket, event: int, action: Callable[[], None]) -> None:
        if flow.fileno() in self._actions:
            self._epoll.modify(flow, event)
        else:
            self._sockets.append(flow)
            self._epoll.register(flow, event)
        self._actions[flow.fileno()] = action

    def _accept(self, listener: socket.socket) -> None:
        flow, _ = listener.accept()
        flow.setblocking(False)
        self._register(flow, select.EPOLLIN, lambda: self._read_direction(flow))

    def _begin(self, flow: socket.socket, direction: bytes) -> None:
        flow.send(direction)
        self._run_flow(flow, sends=direction == _UP)

    def _read_direction(self, flow: socket.socket) -> None:
        self._run_flow(flow, sends=flow.recv(1) == _DOWN)

    def _run_flow(self, flow: socket.socket, sends: bool) -> None:
        control = flow.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
        self.controlled_by.add(control.rstrip(b"\0").decode())
        if sends:
            self._register(flow, select.EPOLLOUT, lambda: self._send(flow))
        else:
            self._register(flow, select.EPOLLIN, lambda: self._receive(flow))

    def _send(self, flow: socket.socket) -> None:
        flow.send(self._block)

    def _receive(self, flow: socket.socket) -> None:
        n = flow.recv_into(self._buffer)
        if n == 0:
            raise ConnectionResetError("a flow ended too early")
        if self._start <= time.monotonic() < self._end:
            self.received += n


def _use_cubic(endpoint: socket.socket) -> None:
    """Sets the congestion control of a flow, or of all that a listener accepts. Raises SystemExit.

    Set on the socket, since a namespace's default is restricted to what any user of the machine may choose
    (net/ipv4/tcp_cong.c).
    """
    try:
        endpoint.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, _CONGESTION)
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
    result = {"bytes": flows.received, "controlled_by": sorted(flows.controlled_by)}
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
