"""Reads how many frames the kernel dropped at a TUN's full queue: the daemon was slower than the senders."""

from pathlib import Path

_COUNTERS = Path("/proc/thread-self/net/dev")
# Columns behind the name (net/core/net-procfs.c): eight of receive (bytes, packets, errors, drops, …), then
# the same eight of transmit.
_TX_DROPPED = 11


def dropped(interface: str) -> int | None:
    """Returns the frames dropped since the link was made; None if it is not in this network namespace."""
    with _COUNTERS.open() as lines:
        for line in lines:
            name, colon, columns = line.partition(":")
            if colon and name.strip() == interface:
                return int(columns.split()[_TX_DROPPED])
    return None
