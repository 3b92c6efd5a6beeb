"""What three kernels and two daemons have counted of a tunnel; subtract an earlier one."""

from dataclasses import dataclass
from typing import Any, Self

from pyfw.demo import counter_checks
from pyfw.demo.kernel_counters import Counters, socket_drops
from pyfw.demo.pair import INTERFACE, PORT, Pair

# Where a packet can be lost, in the order in which one meets them.
LAYERS = (
    "TUN queue",  # the daemon was slower than what came from the stack (tun.c, tun_net_xmit)
    "daemon",  # what it dropped itself, as far as it says so
    "links",  # the veths of the lab, their queues to the other side included
    "daemon's socket",  # it was slower than what came from the wire
    "TUN input",  # frames that it wrote and the kernel did not take
    "receiver's socket",  # who should get it was slower than the tunnel
)


@dataclass(frozen=True)
class Tally:
    """All counts at one moment, or the difference of two."""

    client: Counters
    gateway: Counters
    server: Counters
    # Datagrams for which the daemons' sockets had no room.
    daemon_sockets: int
    # Of both daemons; None of one that does not say.
    late: int | None
    daemon_drops: int | None

    @classmethod
    def take(cls, pair: Pair) -> Self:
        """Reads all of them."""
        told = [daemon.counters() for daemon in pair.daemons if daemon.implementation.is_pyfw]
        client, gateway, server = (machine.counters() for machine in pair.network.machines)
        return cls(
            client,
            gateway,
            server,
            sum(socket_drops(daemon.at.pid, PORT) for daemon in pair.daemons),
            sum(map(counter_checks.late, told)) if told else None,
            sum(map(_daemon_drops, told)) if told else None,
        )

    def __sub__(self, earlier: Self) -> "Tally":
        return Tally(
            self.client - earlier.client,
            self.gateway - earlier.gateway,
            self.server - earlier.server,
            self.daemon_sockets - earlier.daemon_sockets,
            _less(self.late, earlier.late),
            _less(self.daemon_drops, earlier.daemon_drops),
        )

    def drops(self) -> dict[str, int]:
        """By layer, those that lost something."""
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
        # The kernel counts by namespace, and daemons have sockets in two of the three.
        found["receiver's socket"] = max(sockets - self.daemon_sockets, 0)
        return {layer: n for layer, n in found.items() if n}


def _daemon_drops(counters: dict[str, Any]) -> int:
    # What has no route is the kernel's own multicast (MLD, router solicitation), and no load.
    drops = counter_checks.drops(counters)
    return sum(n for reason, n in drops.items() if reason != "outbound.no_route")


def _less(later: int | None, earlier: int | None) -> int | None:
    return None if later is None or earlier is None else later - earlier
