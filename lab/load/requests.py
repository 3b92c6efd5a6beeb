"""Many short TCP connections: connect, ask, be answered, end.

    serve ADDRESS PORT
    ask ADDRESS PORT AT_ONCE

In: how many connections at once; a window, on standard input. Out: who asks prints {"microseconds":
[...]}, how long each request took that ended in the window, from connect to the server's end of stream.
"""

import json
import select
import socket
import sys
import time

_QUESTION = bytes(64)
_ANSWER = bytes(1024)


def serve(address: str, port: int) -> None:
    """Answers until the end of the window."""
    epoll = select.epoll()
    asking: dict[int, socket.socket] = {}
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
                    asking[connection.fileno()] = connection
                    epoll.register(connection, select.EPOLLIN)
                else:
                    with asking.pop(number) as connection:
                        epoll.unregister(number)
                        try:
                            if connection.recv(len(_QUESTION)):
                                connection.send(_ANSWER)
                        except ConnectionError:
                            pass  # who asked has gone at its own end of the window


def ask(address: str, port: int, at_once: int) -> list[int]:
    """Keeps that many requests going; how long each took."""
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

    for _ in range(at_once):
        begin()
    while (now := time.monotonic()) < end:
        for number, event in epoll.poll(end - now):
            connection, began = waiting[number]
            try:
                if event & select.EPOLLOUT:
                    connection.send(_QUESTION)
                    epoll.modify(number, select.EPOLLIN)
                    continue
                if connection.recv(4096):
                    continue
            except ConnectionError:
                # The server may reach the end first.
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
        took = ask(address, int(port), int(numbers[0]))
        print(json.dumps({"microseconds": took}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
