"""Pings at an interval that no answer changes, so that a long delay counts as often as it is met.

    ADDRESS INTERVAL_S

In: a window, on standard input. Out: {"microseconds": [...], "unanswered": N}, of those that were sent in
the window: how long each took from just before it was given to the kernel until the kernel received the
answer, which does not count that a busy machine wakes this program late. A turn that it came too late for
is left out, not made up for.
"""

import json
import select
import socket
import struct
import sys
import time

# Type, code, checksum (the kernel's), identity (the kernel's), sequence: RFC 792, RFC 4443 4.1.
_HEADER = struct.Struct("!BBHHH")
_REQUEST = {socket.AF_INET: (8, socket.IPPROTO_ICMP), socket.AF_INET6: (128, socket.IPPROTO_ICMPV6)}
# As ping(8) sends: 64 bytes of ICMP.
_PAYLOAD = bytes(56)
# asm-generic/socket.h; not in Python's module. The time is a struct timespec of the wall clock.
_SO_TIMESTAMPNS = 35
_TIME = struct.Struct("ll")
_WAITS_S = 1.0


def ping(address: str, interval_s: float) -> dict[str, object]:
    """Asks for answers in the window, waits for them a second longer."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind, protocol = _REQUEST[family]
    sent_ns: dict[int, int] = {}
    took: list[int] = []
    with socket.socket(family, socket.SOCK_DGRAM, protocol) as asking:
        asking.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        asking.connect((address, 0))
        poll = select.poll()
        poll.register(asking, select.POLLIN)
        start, end = _window()
        number, due = 0, start
        while (now := time.monotonic()) < end or (sent_ns and now < end + _WAITS_S):
            if due <= now < end:
                number += 1
                sent_ns[number & 0xFFFF] = time.time_ns()
                asking.send(_HEADER.pack(kind, 0, 0, 0, number & 0xFFFF) + _PAYLOAD)
                due += interval_s * ((now - due) // interval_s + 1)
            until = due if due < end else end + _WAITS_S
            # Rounded up: a wait that is too short would be many.
            if poll.poll(max(0, int((until - now) * 1000 + 0.999))):
                answered, at_ns = _receive(asking)
                if (asked_ns := sent_ns.pop(answered, None)) is not None:
                    took.append(round((at_ns - asked_ns) / 1000))
    return {"microseconds": took, "unanswered": len(sent_ns)}


def _receive(asking: socket.socket) -> tuple[int, int]:
    """The sequence number of an answer, and when the kernel had it, ns of the wall clock."""
    answer, ancillary, _, _ = asking.recvmsg(128, 64)
    ((_, _, data),) = ancillary
    seconds, ns = _TIME.unpack(data)
    return _HEADER.unpack_from(answer)[4], seconds * 1_000_000_000 + ns


def _window() -> tuple[float, float]:
    print("ready", flush=True)
    start, end = map(float, input().split())
    return start, end


def main(address: str, interval_s: str) -> None:
    """Runs it."""
    print(json.dumps(ping(address, float(interval_s))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
