"""Reads the kernel's counters of a network namespace: TCP, UDP and the interfaces."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Counters:
    """One reading of /proc/PID/net/{netstat,snmp,dev}; subtract an earlier one."""

    protocols: dict[str, int]
    interfaces: dict[str, dict[str, int]]

    def __sub__(self, earlier: Self) -> "Counters":
        return Counters(
            {key: n - earlier.protocols.get(key, 0) for key, n in self.protocols.items()},
            {
                name: {
                    key: n - earlier.interfaces.get(name, {}).get(key, 0) for key, n in row.items()
                }
                for name, row in self.interfaces.items()
            },
        )

    @property
    def out_of_order(self) -> int:
        """TCP segments that arrived ahead of a gap, by reordering or by a loss before them (TCPOFOQueue)."""
        return self.protocols["TcpExt.TCPOFOQueue"]

    @property
    def retransmitted(self) -> int:
        """Retransmitted TCP segments."""
        return self.protocols["Tcp.RetransSegs"]

    @property
    def udp_buffer_drops(self) -> int:
        """Datagrams dropped because a socket's receive buffer was full."""
        return self.protocols["Udp.RcvbufErrors"] + self.protocols.get("Udp6.Udp6RcvbufErrors", 0)

    def queue_drops(self, tun: str) -> dict[str, int]:
        """Drops by full queues around a tunnel: datagrams at UDP sockets, packets at the TUN."""
        found = {
            "udp_socket": self.udp_buffer_drops,
            "tun_queue": self.interfaces[tun]["out_drops"],
        }
        return {queue: n for queue, n in found.items() if n}


# The columns of /proc/net/dev: net/core/net-procfs.c, dev_seq_printf_stats.
_DEV = (
    *("in_bytes in_packets in_errors in_drops in_fifo in_frame in_compressed in_multicast".split()),
    *("out_bytes out_packets out_errors out_drops out_fifo out_collisions".split()),
    *("out_carrier out_compressed".split()),
)


def read(pid: int) -> Counters:
    """Returns the counters of the network namespace of a process."""
    net = Path(f"/proc/{pid}/net")
    protocols = parse_pairs((net / "netstat").read_text()) | parse_pairs((net / "snmp").read_text())
    if (net / "snmp6").exists():
        for line in (net / "snmp6").read_text().splitlines():
            key, value = line.split()
            if key.startswith("Udp6"):
                protocols[f"Udp6.{key}"] = int(value)
    return Counters(protocols, parse_interfaces((net / "dev").read_text()))


def parse_pairs(text: str) -> dict[str, int]:
    """Parses lines in pairs, names above values, with one prefix (fs/proc, net/ipv4/proc.c)."""
    lines = text.splitlines()
    counters = {}
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        prefix, _, columns = names.partition(":")
        for name, value in zip(columns.split(), values.partition(":")[2].split(), strict=True):
            counters[f"{prefix}.{name}"] = int(value)
    return counters


def parse_interfaces(text: str) -> dict[str, dict[str, int]]:
    """Parses /proc/net/dev; returns the counters by interface."""
    rows = {}
    for line in text.splitlines()[2:]:
        name, _, values = line.partition(":")
        rows[name.strip()] = dict(zip(_DEV, map(int, values.split()), strict=True))
    return rows
