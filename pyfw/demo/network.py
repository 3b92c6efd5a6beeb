"""The network: client – gateway – server, over veth, with IPv4 and IPv6.

    client ── outer network ── gateway ── network behind it ── server

The tunnel runs between client and gateway, across the outer network; it is the client's only route to the
server.
"""

import os
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from pyfw.demo.namespace import Namespace, UserNamespace


@dataclass(frozen=True)
class Addresses:
    """An IPv4 and an IPv6 address or network."""

    v4: str
    v6: str

    def of(self, version: int) -> str:
        """Returns the one of an IP version."""
        return self.v4 if version == 4 else self.v6


# Documentation ranges (RFC 5737, RFC 3849) for the networks that carry a tunnel or lie behind it.
OUTER = {
    "client": Addresses("192.0.2.1", "2001:db8:1::1"),
    "gateway": Addresses("192.0.2.2", "2001:db8:1::2"),
}
BEHIND = {
    "gateway": Addresses("198.51.100.1", "2001:db8:2::1"),
    "server": Addresses("198.51.100.2", "2001:db8:2::2"),
}
TUNNEL = {
    "client": Addresses("10.77.0.1", "fd77::1"),
    "gateway": Addresses("10.77.0.2", "fd77::2"),
}
BEHIND_NETWORKS = Addresses("198.51.100.0/24", "2001:db8:2::/64")


class Network:
    """The three machines, connected; a context manager."""

    outer = OUTER
    """The addresses at which client and gateway reach each other."""

    def __init__(self, mtu: int = 1500) -> None:
        """`mtu` applies to the outer network and the network behind the gateway."""
        with ExitStack() as stack:
            self.user = UserNamespace()
            stack.callback(self.user.close)
            self.client = self._machine("client", stack)
            self.gateway = self._machine("gateway", stack)
            self.server = self._machine("server", stack)
            self._connect_outer(stack, mtu)
            behind: tuple[LinkEnd, LinkEnd] = (
                (self.gateway, "behind", BEHIND["gateway"]),
                (self.server, "eth0", BEHIND["server"]),
            )
            connect(*behind, mtu, cpu=1)
            _add_static_neighbours(*behind)
            enable_forwarding(self.gateway)
            self.server.ip("route", "add", "default", "via", BEHIND["gateway"].v4)
            self.server.ip("-6", "route", "add", "default", "via", BEHIND["gateway"].v6)
            self._stack = stack.pop_all()

    def _machine(self, name: str, stack: ExitStack) -> Namespace:
        machine = stack.enter_context(Namespace(name, self.user))
        _configure_tcp_ip(machine)
        return machine

    def _connect_outer(self, stack: ExitStack, mtu: int) -> None:
        """Connects client and gateway. `stack` closes further machines."""
        client = (self.client, "outer", OUTER["client"])
        gateway = (self.gateway, "outer", OUTER["gateway"])
        connect(client, gateway, mtu, cpu=0)

    @property
    def machines(self) -> tuple[Namespace, Namespace, Namespace]:
        """Client, gateway, server."""
        return self.client, self.gateway, self.server

    def close(self) -> None:
        """Stops all processes and releases the namespaces."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def enable_forwarding(machine: Namespace) -> None:
    """Makes a machine a router."""
    machine.sysctl("net.ipv4.ip_forward", "1")
    machine.sysctl("net.ipv6.conf.all.forwarding", "1")


def _configure_tcp_ip(machine: Namespace) -> None:
    # Not bbr: it paces with timers of its own. A namespace's default is restricted to what every user may
    # choose (net/ipv4/tcp_cong.c), which always includes reno; the loads ask for cubic on their sockets.
    if not machine.sysctl("net.ipv4.tcp_congestion_control", "cubic"):
        machine.sysctl("net.ipv4.tcp_congestion_control", "reno")
    # One fast flow needs larger buffers than the defaults. TCP's own tuning is not bounded by the global
    # maxima, which a user namespace cannot raise.
    machine.sysctl("net.ipv4.tcp_rmem", "4096 131072 16777216")
    machine.sysctl("net.ipv4.tcp_wmem", "4096 131072 16777216")
    machine.sysctl("net.ipv4.ping_group_range", "0 0")
    # Without duplicate address detection (RFC 4862) an address is usable at once.
    machine.sysctl("net.ipv6.conf.default.accept_dad", "0")
    # A cached slow start threshold would make a flow's speed depend on the losses of the flow before it.
    machine.sysctl("net.ipv4.tcp_no_metrics_save", "1")


LinkEnd = tuple[Namespace, str, Addresses]
"""A machine, the name of the interface in it, and its addresses."""


def connect(one: LinkEnd, two: LinkEnd, mtu: int, cpu: int) -> None:
    """Connects two machines with a veth pair that keeps the packets' order; `cpu`, if present, receives."""
    cpu %= os.cpu_count() or 1
    peer = ["peer", "name", two[1], "netns", str(two[0].pid)]
    one[0].ip("link", "add", one[1], "type", "veth", *peer)
    for machine, name, address in (one, two):
        machine.ip("address", "add", f"{address.v4}/24", "dev", name)
        machine.ip("address", "add", f"{address.v6}/64", "dev", name, "nodad")
        _steer_to_cpu(machine, name, cpu)
        machine.ip("link", "set", name, "mtu", str(mtu), "up")


def _add_static_neighbours(one: LinkEnd, two: LinkEnd) -> None:
    # Packets queued while an address is resolved are sent without the lock that the next packet waits for
    # (net/core/neighbour.c, __neigh_update): a new flow reorders itself, one time in five. On the outer
    # network a handshake, a single message, resolves the address before any data.
    for (machine, name, _), (other, other_name, addresses) in ((one, two), (two, one)):
        mac = other.run("cat", f"/sys/class/net/{other_name}/address").stdout.strip()
        for version in (4, 6):
            entry = [addresses.of(version), "lladdr", mac, "nud", "permanent", "dev", name]
            machine.ip("neighbour", "replace", *entry)


STEERING = "/sys/class/net/{}/queues/rx-0/rps_cpus"
"""The file that selects the CPUs of an interface's receive packet steering."""


def _steer_to_cpu(machine: Namespace, name: str, cpu: int) -> None:
    # A veth queues a packet on the CPU that sent it (net/core/dev.c, netif_rx), so a sender that moves to
    # another CPU reorders its own packets. Receive packet steering to one CPU prevents that: any reordering
    # is then the tunnel's. With several CPUs it would steer by flow, and a fragment, which has no ports,
    # counts as another flow than its neighbours.
    path = STEERING.format(name)
    machine.run("sh", "-c", 'echo "$0" > "$1"', f"{1 << cpu:x}", path, check=False)
