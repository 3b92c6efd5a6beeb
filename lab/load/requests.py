"""Many short TCP connections: connect, request, response, close.

    serve ADDRESS PORT
    request ADDRESS PORT CONCURRENCY

The client prints {"microseconds": [...]}: the time of each request that ended in the window, from connect to
the end of the server's stream.
"""

import json
import select
import socket
import sys
import time

_REQUEST = bytes(64)
_RESPONSE = bytes(1024)


def serve(address: str, port: int) -> None:
    """Serves until the end of the window."""
    epoll = select.epoll()
    open_connections: dict[int, socket.socket] = {}
    family = _family(address)
    with socket.create_server((address, port), family=family, backlog=1024) as listener:
        listener.setblocking(False)
        epoll.register(listener, select.EPOLLIN)
        _, end = _window()
        while (now := time.monotonic()) < end:
            for number, _ in epoll.poll(end - now):
                if number == listener.fileno():
                    connection, _ = listener.accept()
                    connection.setblocking(False)
                    open_connections[connection.fileno()] = connection
                    epoll.register(connection, select.EPOLLIN)
                else:
                    with open_connections.pop(number) as connection:
                        epoll.unregister(number)
                        try:
                            if connection.recv(len(_REQUEST)):
                                connection.send(_RESPONSE)
                        except ConnectionError:
                            pass  # the client has ended first


def request(address: str, port: int, concurrency: int) -> list[int]:
    """Keeps that many requests running; returns how long each took, in microseconds."""
    start, end = _window()
    epoll = select.epoll()
    waiting: dict[int, tuple[socket.socket, float]] = {}
    took: list[int] = []

    def begin() -> None:
        connection = socket.socket(_family(address), socket.SOCK_STREAM)
        connection.setblocking(False)
        began = time.monotonic()
        connection.connect_ex((address, port))
        waiting[connection.fileno()] = (connection, began)
        epoll.register(connection, select.EPOLLOUT)

    for _ in range(concurrency):
        begin()
    while (now := time.monotonic()) < end:
        for number, event in epoll.poll(end - now):
            connection, began = waiting[number]
            try:
                if event & select.EPOLLOUT:
                    connection.send(_REQUEST)
                    epoll.modify(number, select.EPOLLIN)
                    continue
                if connection.recv(4096):
                    continue
            except ConnectionError:
                # The server may have ended first.
                if time.monotonic() < end - 0.01:
                    raise
                return took
            now = time.monotonic()
            if start <= now < end:
                took.append(round((now - began) * 1e6))
            epoll.unregister(number)
            del waiting[number]
            connection.close()
            begin()
    return took


def _window() -> tuple[float, float]:
    print("ready", flush=True)
    start, end = map(float, input().split())
    return start, end


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def main(command: str, address: str, port: str, *numbers: str) -> None:
    """Runs one end."""
    if command == "serve":
        serve(address, int(port))
    else:
        took = request(address, int(port), int(numbers[0]))
        print(json.dumps({"microseconds": took}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
