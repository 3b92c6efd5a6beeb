"""Counts the datagrams that UDP sockets had no room for, by local port."""

from pathlib import Path


def socket_drops(pid: int, port: int) -> int:
    """Returns the drops of all sockets on this port in the network namespace of a process."""
    net = Path(f"/proc/{pid}/net")
    files = [net / name for name in ("udp", "udp6")]
    return sum(parse_drops(file.read_text(), port) for file in files if file.exists())


def parse_drops(text: str, port: int) -> int:
    """Returns the sum of the last column of /proc/net/udp for a port (net/ipv4/udp.c, udp4_format_sock)."""
    rows = [line.split() for line in text.splitlines()[1:]]
    return sum(int(row[-1]) for row in rows if int(row[1].rpartition(":")[2], 16) == port)
