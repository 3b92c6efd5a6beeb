"""What this machine withholds from the lab, and how to raise it."""

from pathlib import Path

# What one fast flow needs to survive a burst (wireguard-go conn/sockopt: 7 MiB; research: without
# it 12,000-18,000 retransmissions in three seconds).
_RECEIVE_BUFFER = 7 << 20


def limits(is_root: bool, rmem_max: int | None = None) -> list[str]:
    """One line for each limit. In a user namespace the kernel's maxima cannot be overridden."""
    if is_root:
        return []
    if rmem_max is None:
        rmem_max = int(Path("/proc/sys/net/core/rmem_max").read_text())
    lines = ["runs in a user namespace, with a /run of its own"]
    if rmem_max < _RECEIVE_BUFFER:
        lines.append(
            f"UDP receive buffers: {rmem_max >> 10} KiB of {_RECEIVE_BUFFER >> 20} MiB, so bursts may "
            f"be lost and sent again; sudo sysctl -w net.core.rmem_max={_RECEIVE_BUFFER}"
        )
    return lines
