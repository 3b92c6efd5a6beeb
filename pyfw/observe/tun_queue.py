"""What the kernel dropped in front of a tunnel: frames that found its TUN's queue full.

In: an interface's name. Out: a count. The daemon was slower than who sends, or the queue is kept short, so
that what waits in it waits a millisecond at most (see the engine's tun_queue).
"""

from pathlib import Path

_COUNTERS = Path("/proc/thread-self/net/dev")
# Columns behind the name (net/core/net-procfs.c): eight of what is received, bytes, packets, errors, drops, …
# and the same of what is sent.
_TX_DROPPED = 11


def dropped(interface: str) -> int | None:
    """Frames since the link was made; None where it is not in this network namespace."""
    with _COUNTERS.open() as lines:
        for line in lines:
            name, colon, columns = line.partition(":")
            if colon and name.strip() == interface:
                return int(columns.split()[_TX_DROPPED])
    return None
