"""UDP transfers with a digest at both ends; a script that runs inside a machine.

    sink ADDRESS PORT COUNT                        receives datagrams, acknowledges each window
    source ADDRESS PORT COUNT FIRST-LAST ECN,…     sends datagrams of all these lengths with these ECN values

Each end prints one JSON object. The digest covers length, ECN and bytes of every datagram in the order of
arrival: equal digests mean that all arrived, unchanged, in order, and with the ECN they were sent with.
"""

import hashlib
import json
import random
import socket
import sys
from collections import Counter

# Datagrams in flight before the sink must acknowledge: fewer than any default receive buffer holds.
_WINDOW = 32
_ECN_MASK = 3


class Log:
    """The digest over all datagrams of one end, and an entry for each to find the first difference."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._entries: list[str] = []

    def add(self, ecn: int, data: bytes) -> None:
        """Adds a datagram."""
        self._digest.update(len(data).to_bytes(2, "big") + bytes([ecn]) + data)
        self._entries.append(f"{ecn}/{len(data)}/{hashlib.sha256(data).hexdigest()[:8]}")

    def report(self) -> dict[str, object]:
        """Returns plain data."""
        return {"sha256": self._digest.hexdigest(), "entries": self._entries}


def sink(address: str, port: int, count: int) -> dict[str, object]:
    """Receives `count` datagrams."""
    log, ecns = Log(), Counter[int]()
    with _socket(address) as receiver:
        receiver.bind((address, port))
        print("listening", flush=True)
        for number in range(count):
            data, ancillary, _, source = receiver.recvmsg(65536, socket.CMSG_SPACE(4))
            ecn = next((value[0] & _ECN_MASK for _, _, value in ancillary), 0)
            ecns[ecn] += 1
            log.add(ecn, data)
            if _ends_window(number, count):
                receiver.sendto(b"ack", source)
    return log.report() | {"ecn": ecns}


def source(
    address: str, port: int, count: int, lengths: range, ecns: list[int]
) -> dict[str, object]:
    """Sends `count` datagrams; the ECN changes from one to the next."""
    log, noise = Log(), random.Random(0)
    with _socket(address) as sender:
        sender.connect((address, port))
        for number in range(count):
            ecn = ecns[number % len(ecns)]
            # A stride through the lengths: neighbours differ, and every length is used.
            data = noise.randbytes(lengths[number * 577 % len(lengths)])
            _set_ecn(sender, ecn)
            log.add(ecn, data)
            sender.send(data)
            if _ends_window(number, count):
                sender.recv(16)
    return log.report()


def _socket(address: str) -> socket.socket:
    opened = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    opened.settimeout(5)
    if opened.family == socket.AF_INET6:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
    else:
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
    return opened


def _set_ecn(sender: socket.socket, ecn: int) -> None:
    if sender.family == socket.AF_INET6:
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, ecn)
    else:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, ecn)


def _ends_window(number: int, count: int) -> bool:
    return number % _WINDOW == _WINDOW - 1 or number == count - 1


def main(arguments: list[str]) -> dict[str, object]:
    """Runs one end."""
    match arguments:
        case ["sink", address, port, count]:
            return sink(address, int(port), int(count))
        case ["source", address, port, count, lengths, ecns]:
            first, last = map(int, lengths.split("-"))
            values = [int(ecn) for ecn in ecns.split(",")]
            return source(address, int(port), int(count), range(first, last + 1), values)
    sys.exit(__doc__)


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:])), flush=True)
