"""One end of a UDP stream with sequence numbers; a script that runs inside a machine.

    LOCAL REMOTE PORT PER_SECOND LENGTH

Both ends send and receive at once, in one loop without a thread. It prints "ready" once it listens, starts
at SIGUSR1, stops sending at SIGTERM, receives what is still in flight, and prints one JSON object (see
lab.stream). A datagram is its number and zeros. A datagram that the kernel refuses uses its number and is
counted. If the script itself was not scheduled, it sends only what was due in the last few milliseconds:
the rest would be a burst, whose losses are not the tunnel's fault.
"""

import gc
import json
import select
import signal
import socket
import struct
import sys
import time

_NUMBER = struct.Struct("!Q")
# For datagrams in flight when both have stopped: in queues, or in a relay that delays.
_LINGER_NS = 500_000_000
_CATCH_UP_NS = 5_000_000
_BUFFER_BYTES = 4 << 20
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h


class Received:
    """Which numbers arrived, in which order, and the longest silence."""

    def __init__(self, started_ns: int) -> None:
        self.numbers: set[int] = set()
        self.highest = -1
        self.duplicated = 0
        self.out_of_order = 0
        self.longest_silence_ns = 0
        self.counts_silence = True
        self._last_ns = self._started_ns = started_ns
        self._silent_since_ns = started_ns

    def add(self, number: int, now_ns: int) -> None:
        """Counts one datagram."""
        if self.counts_silence:
            self.add_silence(now_ns)
        self._last_ns = now_ns
        if number in self.numbers:
            self.duplicated += 1
            return
        self.numbers.add(number)
        if number < self.highest:
            self.out_of_order += 1
        else:
            self.highest = number

    def add_silence(self, now_ns: int) -> None:
        """Counts the time between the last datagram and now."""
        if now_ns - self._last_ns > self.longest_silence_ns:
            self.longest_silence_ns = now_ns - self._last_ns
            self._silent_since_ns = self._last_ns

    def report(self, sent: int) -> dict[str, object]:
        """Returns plain data. `sent` is how many numbers this end has used itself."""
        return {
            "numbers": sent,
            "received": len(self.numbers),
            "ranges": ranges(self.numbers),
            "duplicated": self.duplicated,
            "out_of_order": self.out_of_order,
            "longest_silence_s": self.longest_silence_ns / 1e9,
            "silent_since_s": (self._silent_since_ns - self._started_ns) / 1e9,
        }


def ranges(numbers: set[int]) -> list[list[int]]:
    """Returns the runs of consecutive numbers, first and last of each, sorted."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found


def run(local: str, remote: str, port: int, per_second: int, length: int) -> dict[str, object]:
    """Sends and receives between the two signals."""
    stopped = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal stopped
        stopped = True

    family = socket.AF_INET6 if ":" in local else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as datagrams:
        # Deep enough for a second in which this script is not scheduled; root may exceed the system's limit.
        for option in (_SO_RCVBUFFORCE, socket.SO_RCVBUF):
            try:
                datagrams.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
                break
            except PermissionError:
                continue
        datagrams.bind((local, port))
        datagrams.setblocking(False)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        print("ready", flush=True)
        signal.sigwait({signal.SIGUSR1})
        signal.signal(signal.SIGTERM, stop)
        interval_ns = 1_000_000_000 // per_second
        padding = bytes(length - _NUMBER.size)
        now_ns = due_ns = turn_ns = time.monotonic_ns()
        received = Received(now_ns)
        refused: list[int] = []
        number, longest_turn_ns, until_ns = 0, 0, 0
        while not until_ns or now_ns < until_ns:
            due_ns = max(due_ns, now_ns - _CATCH_UP_NS)
            while due_ns <= now_ns and not until_ns:
                try:
                    datagrams.sendto(_NUMBER.pack(number) + padding, (remote, port))
                except OSError:
                    refused.append(number)
                number += 1
                due_ns += interval_ns
            wait_ns = max(0, (until_ns or due_ns) - time.monotonic_ns())
            if select.select([datagrams], [], [], wait_ns / 1e9)[0]:
                receive_all(datagrams, received)
            now_ns = time.monotonic_ns()
            if not until_ns:
                longest_turn_ns = max(longest_turn_ns, now_ns - turn_ns)
                turn_ns = now_ns
                if stopped:
                    until_ns = now_ns + _LINGER_NS
                    received.add_silence(now_ns)
                    received.counts_silence = False
        report = received.report(number)
    return report | {"refused": ranges(set(refused)), "own_pause_s": longest_turn_ns / 1e9}


def receive_all(datagrams: socket.socket, received: Received) -> None:
    """Receives until the socket is empty. An ICMP error is skipped."""
    while True:
        try:
            data = datagrams.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            continue
        received.add(_NUMBER.unpack_from(data)[0], time.monotonic_ns())


if __name__ == "__main__":
    gc.disable()  # a collection would look like a silence
    print(json.dumps(run(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6]))), flush=True)
