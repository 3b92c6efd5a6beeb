"""What the kernel counted in a network namespace: TCP, UDP and the interfaces."""

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
        """Segments that arrived ahead of a gap: late ones, or those behind a loss (TCPOFOQueue)."""
        return self.protocols["TcpExt.TCPOFOQueue"]

    @property
    def retransmitted(self) -> int:
        """TCP segments sent again."""
        return self.protocols["Tcp.RetransSegs"]

    @property
    def tcp_received(self) -> int:
        """TCP segments received, as the stack saw them: a merged frame counts once."""
        return self.protocols["Tcp.InSegs"]

    @property
    def udp_buffer_drops(self) -> int:
        """Datagrams dropped because a socket's receive buffer was full."""
        return self.protocols["Udp.RcvbufErrors"] + self.protocols.get("Udp6.Udp6RcvbufErrors", 0)

    def queue_drops(self, tun: str) -> dict[str, int]:
        """What full queues around a tunnel dropped: datagrams at UDP sockets, packets at the TUN."""
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
    """The counters of the network namespace of a process."""
    net = Path(f"/proc/{pid}/net")
    protocols = paired((net / "netstat").read_text()) | paired((net / "snmp").read_text())
    if (net / "snmp6").exists():
        for line in (net / "snmp6").read_text().splitlines():
            key, value = line.split()
            if key.startswith("Udp6"):
                protocols[f"Udp6.{key}"] = int(value)
    return Counters(protocols, interfaces((net / "dev").read_text()))


def socket_drops(pid: int, port: int) -> int:
    """Datagrams for which the sockets bound to this port had no room, in a process's namespace."""
    net = Path(f"/proc/{pid}/net")
    files = [net / name for name in ("udp", "udp6")]
    return sum(dropped(file.read_text(), port) for file in files if file.exists())


def dropped(text: str, port: int) -> int:
    """The last column of /proc/net/udp (net/ipv4/udp.c, udp4_format_sock), for a port."""
    rows = [line.split() for line in text.splitlines()[1:]]
    return sum(int(row[-1]) for row in rows if int(row[1].rpartition(":")[2], 16) == port)


def paired(text: str) -> dict[str, int]:
    """Lines in pairs, names above values, both behind the same prefix (fs/proc, net/ipv4/proc.c)."""
    lines = text.splitlines()
    counters = {}
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        prefix, _, columns = names.partition(":")
        for name, value in zip(columns.split(), values.partition(":")[2].split(), strict=True):
            counters[f"{prefix}.{name}"] = int(value)
    return counters


def interfaces(text: str) -> dict[str, dict[str, int]]:
    """/proc/net/dev by interface."""
    rows = {}
    for line in text.splitlines()[2:]:
        name, _, values = line.partition(":")
        rows[name.strip()] = dict(zip(_DEV, map(int, values.split()), strict=True))
    return rows
