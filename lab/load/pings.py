"""Pings at a fixed interval, so that a long delay counts as often as it occurs.

    ADDRESS INTERVAL_S

Prints {"microseconds": [...], "unanswered": N} for the requests sent in the window. A time runs from just
before the request is passed to the kernel until the kernel receives the answer, so a late wake-up of this
script does not count. Requests that are overdue because the script was not scheduled are skipped.
"""

import json
import select
import socket
import struct
import sys
import time

# Type, code, checksum and identity (the kernel sets both), sequence: RFC 792, RFC 4443 §4.1.
_HEADER = struct.Struct("!BBHHH")
_REQUEST = {socket.AF_INET: (8, socket.IPPROTO_ICMP), socket.AF_INET6: (128, socket.IPPROTO_ICMPV6)}
# Like ping(8): 64 bytes of ICMP.
_PAYLOAD = bytes(56)
# asm-generic/socket.h; the socket module does not define it. The value is a struct timespec, wall clock.
_SO_TIMESTAMPNS = 35
_TIME = struct.Struct("ll")
_TIMEOUT_S = 1.0


def ping(address: str, interval_s: float) -> dict[str, object]:
    """Sends requests in the window and waits for answers up to a second longer."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind, protocol = _REQUEST[family]
    sent_ns: dict[int, int] = {}
    took: list[int] = []
    with socket.socket(family, socket.SOCK_DGRAM, protocol) as client:
        client.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        client.connect((address, 0))
        poll = select.poll()
        poll.register(client, select.POLLIN)
        start, end = _window()
        number, due = 0, start
        while (now := time.monotonic()) < end or (sent_ns and now < end + _TIMEOUT_S):
            if due <= now < end:
                number += 1
                sent_ns[number & 0xFFFF] = time.time_ns()
                client.send(_HEADER.pack(kind, 0, 0, 0, number & 0xFFFF) + _PAYLOAD)
                due += interval_s * ((now - due) // interval_s + 1)
            until = due if due < end else end + _TIMEOUT_S
            # Rounded up, so that a fraction of a millisecond is not a busy loop.
            if poll.poll(max(0, int((until - now) * 1000 + 0.999))):
                answered, at_ns = _receive(client)
                if (sent_at_ns := sent_ns.pop(answered, None)) is not None:
                    took.append(round((at_ns - sent_at_ns) / 1000))
    return {"microseconds": took, "unanswered": len(sent_ns)}


def _receive(client: socket.socket) -> tuple[int, int]:
    """Returns an answer's sequence number and when the kernel received it, in ns of the wall clock."""
    answer, ancillary, _, _ = client.recvmsg(128, 64)
    ((_, _, data),) = ancillary
    seconds, ns = _TIME.unpack(data)
    return _HEADER.unpack_from(answer)[4], seconds * 1_000_000_000 + ns


def _window() -> tuple[float, float]:
    print("ready", flush=True)
    start, end = map(float, input().split())
    return start, end


def main(address: str, interval_s: str) -> None:
    """Runs the load."""
    print(json.dumps(ping(address, float(interval_s))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
