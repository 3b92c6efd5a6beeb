"""Reports the kernel limits that slow the demo down, and the command that raises each."""

from pathlib import Path

# A fast flow needs this much to survive a burst (wireguard-go's conn/sockopt asks for 7 MiB). With the usual
# default, one flow retransmits 12,000 to 18,000 segments in three seconds.
_RECEIVE_BUFFER = 7 << 20


def limits(is_root: bool, rmem_max: int | None = None) -> list[str]:
    """Returns one line for each limit. A user namespace cannot exceed the kernel's maxima; root can."""
    if is_root:
        return []
    if rmem_max is None:
        rmem_max = int(Path("/proc/sys/net/core/rmem_max").read_text())
    lines = ["runs in a user namespace, with a /run of its own"]
    if rmem_max < _RECEIVE_BUFFER:
        lines.append(
            f"UDP receive buffers: {rmem_max >> 10} KiB of {_RECEIVE_BUFFER >> 20} MiB, so bursts may "
            f"be lost and retransmitted; sudo sysctl -w net.core.rmem_max={_RECEIVE_BUFFER}"
        )
    return lines
