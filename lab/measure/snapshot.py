"""The counters of three kernels and two daemons at one moment; subtract an earlier reading."""

from dataclasses import dataclass
from typing import Any, Protocol, Self

from lab.socket_drops import socket_drops
from pyfw.demo import daemon_counters
from pyfw.demo.daemon import INTERFACE, Daemon
from pyfw.demo.kernel_counters import Counters
from pyfw.demo.network import Network
from pyfw.demo.pair import PORT

# The layers that can drop a packet, in the order in which one passes them.
LAYERS = (
    "TUN queue",  # the daemon reads the TUN slower than the stack sends (tun.c, tun_net_xmit)
    "daemon",  # named drops, if the daemon reports them
    "links",  # the veths, their transmit queues included
    "daemon's socket",  # the daemon reads UDP slower than it arrives
    "TUN input",  # frames that the daemon wrote and the kernel refused
    "receiver's socket",  # the application reads slower than the tunnel delivers
)


class TwoDaemons(Protocol):
    """A network with a daemon at each end of the tunnel."""

    @property
    def network(self) -> Network:
        """The machines."""

    @property
    def daemons(self) -> tuple[Daemon, Daemon]:
        """Client, gateway."""


@dataclass(frozen=True)
class CounterSnapshot:
    """All counters at one moment, or the difference of two readings."""

    client: Counters
    gateway: Counters
    server: Counters
    # Datagrams for which the daemons' sockets had no room.
    daemon_sockets: int
    # Of both daemons; None if neither reports it.
    late: int | None
    daemon_drops: int | None

    @classmethod
    def read(cls, pair: TwoDaemons) -> Self:
        """Reads all of them."""
        reported = [daemon.counters() for daemon in pair.daemons if daemon.implementation.is_pyfw]
        client, gateway, server = (machine.counters() for machine in pair.network.machines)
        return cls(
            client,
            gateway,
            server,
            sum(socket_drops(daemon.at.pid, PORT) for daemon in pair.daemons),
            sum(map(daemon_counters.late, reported)) if reported else None,
            sum(map(_daemon_drops, reported)) if reported else None,
        )

    def __sub__(self, earlier: Self) -> "CounterSnapshot":
        return CounterSnapshot(
            self.client - earlier.client,
            self.gateway - earlier.gateway,
            self.server - earlier.server,
            self.daemon_sockets - earlier.daemon_sockets,
            _difference(self.late, earlier.late),
            _difference(self.daemon_drops, earlier.daemon_drops),
        )

    def drops(self) -> dict[str, int]:
        """Returns the drops by layer, without layers that dropped nothing."""
        machines = (self.client, self.gateway, self.server)
        tuns = [one.interfaces[INTERFACE] for one in (self.client, self.gateway)]
        links = [
            row for one in machines for name, row in one.interfaces.items() if name != INTERFACE
        ]
        sockets = sum(one.udp_buffer_drops for one in machines)
        found = dict.fromkeys(LAYERS, 0)
        found["TUN queue"] = sum(row["out_drops"] for row in tuns)
        found["daemon"] = self.daemon_drops or 0
        found["links"] = sum(row["in_drops"] + row["out_drops"] for row in links)
        found["daemon's socket"] = self.daemon_sockets
        found["TUN input"] = sum(row["in_drops"] + row["in_errors"] for row in tuns)
        # The kernel counts per namespace, so the daemons' own sockets are subtracted.
        found["receiver's socket"] = max(sockets - self.daemon_sockets, 0)
        return {layer: n for layer, n in found.items() if n}


def _daemon_drops(counters: dict[str, Any]) -> int:
    # Packets without a route are the kernel's own multicast (MLD, router solicitation), not the load's.
    drops = daemon_counters.drops(counters)
    return sum(n for reason, n in drops.items() if reason != "outbound.no_route")


def _difference(later: int | None, earlier: int | None) -> int | None:
    return None if later is None or earlier is None else later - earlier
