"""TCP flows, up to the server and down from it, as fast as they go.

    serve ADDRESS PORT FLOWS
    connect ADDRESS PORT UP DOWN

In: how many flows each way; a window, on standard input. Out: {"bytes": received in the window}, at each
end. One thread serves all flows; a socket gives and takes as much at a time as it has room for.
"""

import json
import select
import socket
import sys
import time

_READ = 256 << 10
_WRITE = 1 << 20


class Flows:
    """One end of all flows."""

    def __init__(self) -> None:
        self._start = self._end = 0.0
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._into = memoryview(bytearray(_READ))
        self._block = memoryview(bytes(_WRITE))
        self.received = 0

    def wait_for_window(self) -> None:
        """Until it is told."""
        print("ready", flush=True)
        self._start, self._end = map(float, input().split())

    def send(self, flow: socket.socket) -> None:
        """This flow gives."""
        self._add(flow, select.EPOLLOUT)

    def receive(self, flow: socket.socket) -> None:
        """This flow takes."""
        self._add(flow, select.EPOLLIN)

    def _add(self, flow: socket.socket, what: int) -> None:
        flow.setblocking(False)
        self._sockets[flow.fileno()] = flow
        self._epoll.register(flow, what)

    def run(self) -> None:
        """Until the end of the window. Raises ConnectionError where a flow breaks before."""
        clock, start, end = time.monotonic, self._start, self._end
        while (now := clock()) < end:
            for number, event in self._epoll.poll(end - now):
                flow = self._sockets[number]
                try:
                    if event & select.EPOLLIN:
                        n = flow.recv_into(self._into)
                        if start <= (now := clock()) < end:
                            self.received += n
                    else:
                        n = flow.send(self._block)
                except BlockingIOError:
                    continue
                except ConnectionError:
                    # The other end reads its clock as well, and may have been the first to go.
                    if clock() < end - 0.01:
                        raise
                    return
                if n == 0:
                    if clock() < end - 0.01:
                        raise ConnectionResetError("a flow ended too early")
                    return


def serve(address: str, port: int, count: int, flows: Flows) -> None:
    """Takes connections; the first byte of each says which way it goes."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, port), family=family, backlog=256) as listener:
        flows.wait_for_window()
        for _ in range(count):
            flow, _ = listener.accept()
            (flows.receive if flow.recv(1) == b"u" else flows.send)(flow)
    flows.run()


def connect(address: str, port: int, up: int, down: int, flows: Flows) -> None:
    """Makes connections."""
    flows.wait_for_window()
    for way in "u" * up + "d" * down:
        flow = socket.create_connection((address, port), timeout=10)
        flow.sendall(way.encode())
        (flows.send if way == "u" else flows.receive)(flow)
    flows.run()


def main(command: str, address: str, port: str, *counts: str) -> None:
    """Runs one end."""
    flows = Flows()
    if command == "serve":
        serve(address, int(port), int(counts[0]), flows)
    else:
        connect(address, int(port), int(counts[0]), int(counts[1]), flows)
    print(json.dumps({"bytes": flows.received}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
