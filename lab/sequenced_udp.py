"""One end of a numbered UDP stream; a script of its own that runs inside the lab's machines.

    LOCAL REMOTE PORT PER_SECOND LENGTH

Both ends send and take at once, in one loop without a thread. It prints "ready" once it listens, begins at
SIGUSR1, ends at SIGTERM, takes what is still under way, and prints one JSON object (see lab.stream).
A datagram is its number and zeros. What the kernel refuses to send keeps its number and is counted. Of what
fell due while this script itself was kept from running, only the last few milliseconds are sent: the rest
would be a burst, and what a tunnel loses of that says nothing of the tunnel.
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
# What is still under way when both have stopped: in queues, in a relay that delays.
_LINGER_NS = 500_000_000
_CATCHES_UP_NS = 5_000_000
_BUFFER_BYTES = 4 << 20
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h


class Received:
    """What came, as it comes: which numbers, in which order, and when it was silent."""

    def __init__(self, started_ns: int) -> None:
        self.numbers: set[int] = set()
        self.highest = -1
        self.duplicated = 0
        self.out_of_order = 0
        self.longest_silence_ns = 0
        self.counts_silence = True
        self._last_ns = self._started_ns = started_ns
        self._silent_since_ns = started_ns

    def take(self, number: int, now_ns: int) -> None:
        """One datagram."""
        if self.counts_silence:
            self.pause(now_ns)
        self._last_ns = now_ns
        if number in self.numbers:
            self.duplicated += 1
            return
        self.numbers.add(number)
        if number < self.highest:
            self.out_of_order += 1
        else:
            self.highest = number

    def pause(self, now_ns: int) -> None:
        """Counts what lies between the last datagram and now."""
        if now_ns - self._last_ns > self.longest_silence_ns:
            self.longest_silence_ns = now_ns - self._last_ns
            self._silent_since_ns = self._last_ns

    def report(self, sent: int) -> dict[str, object]:
        """As plain data. `sent` is how many numbers this end itself has used."""
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
    """Runs of neighbouring numbers, first and last of each, in their order."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found


def run(local: str, remote: str, port: int, per_second: int, length: int) -> dict[str, object]:
    """Sends and takes between the two signals."""
    stopped = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal stopped
        stopped = True

    family = socket.AF_INET6 if ":" in local else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as datagrams:
        # Deep enough for a second in which this script does not run; as root beyond the system's limit.
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
            due_ns = max(due_ns, now_ns - _CATCHES_UP_NS)
            while due_ns <= now_ns and not until_ns:
                try:
                    datagrams.sendto(_NUMBER.pack(number) + padding, (remote, port))
                except OSError:
                    refused.append(number)
                number += 1
                due_ns += interval_ns
            wait_ns = max(0, (until_ns or due_ns) - time.monotonic_ns())
            if select.select([datagrams], [], [], wait_ns / 1e9)[0]:
                take_all(datagrams, received)
            now_ns = time.monotonic_ns()
            if not until_ns:
                longest_turn_ns = max(longest_turn_ns, now_ns - turn_ns)
                turn_ns = now_ns
                if stopped:
                    until_ns = now_ns + _LINGER_NS
                    received.pause(now_ns)
                    received.counts_silence = False
        told = received.report(number)
    return told | {"refused": ranges(set(refused)), "own_pause_s": longest_turn_ns / 1e9}


def take_all(datagrams: socket.socket, received: Received) -> None:
    """All that waits. An ICMP error that came back is no datagram."""
    while True:
        try:
            data = datagrams.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            continue
        received.take(_NUMBER.unpack_from(data)[0], time.monotonic_ns())


if __name__ == "__main__":
    gc.disable()  # a collection would look like a silence
    print(json.dumps(run(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6]))), flush=True)
