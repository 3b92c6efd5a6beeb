"""The lab's network: client – gateway – server, over veth, with IPv4 and IPv6.

    client ── outer network ── gateway ── network behind it ── server

The tunnel runs between client and gateway, across the outer network; the server is reached
through it only. In a `RoutedNetwork` there is a router on the way, which can do what such do: lose,
translate, carry less.

    client ── outer network ── router ── gateway's network ── gateway ── network behind it ── server
"""

import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from pyfw.demo.namespace import Namespace, UserNamespace


@dataclass(frozen=True)
class Dual:
    """A machine's addresses on one network."""

    v4: str
    v6: str

    def of(self, version: int) -> str:
        """The address of one IP version."""
        return self.v4 if version == 4 else self.v6


# Documentation ranges (RFC 5737, RFC 3849) where packets would be seen outside; they never are.
OUTER = {
    "client": Dual("192.0.2.1", "2001:db8:1::1"),
    "gateway": Dual("192.0.2.2", "2001:db8:1::2"),
}
# Behind a router: where the gateway is, and the router's ends.
ROUTED = {
    "client": OUTER["client"],
    "router": Dual("192.0.2.254", "2001:db8:1::fe"),
    "far router": Dual("203.0.113.254", "2001:db8:3::fe"),
    "gateway": Dual("203.0.113.2", "2001:db8:3::2"),
}
BEHIND = {
    "gateway": Dual("198.51.100.1", "2001:db8:2::1"),
    "server": Dual("198.51.100.2", "2001:db8:2::2"),
}
TUNNEL = {"client": Dual("10.77.0.1", "fd77::1"), "gateway": Dual("10.77.0.2", "fd77::2")}
BEHIND_NETWORKS = Dual("198.51.100.0/24", "2001:db8:2::/64")
TUNNEL_NETWORKS = Dual("10.77.0.0/24", "fd77::/64")


class Network:
    """The three machines, connected; a context manager."""

    outer = OUTER
    """Where client and gateway reach each other."""

    def __init__(self, mtu: int = 1500, napi: bool = False) -> None:
        """`mtu`: of all links, between client and gateway and behind the gateway.

        `napi`: client and gateway receive UDP from each other as from a network card, for a load that is
        measured. They merge datagrams (GRO), so who looks at single ones does without it.
        """
        self._mtu = mtu
        self._napi = napi
        with ExitStack() as stack:
            self.user = UserNamespace()
            stack.callback(self.user.close)
            self.client = self._machine("client", stack)
            self.gateway = self._machine("gateway", stack)
            self.server = self._machine("server", stack)
            self._connect_outside(stack)
            behind: tuple[_End, _End] = (
                (self.gateway, "behind", BEHIND["gateway"]),
                (self.server, "eth0", BEHIND["server"]),
            )
            _connect(*behind, mtu, cpu=1)
            _introduce(*behind)
            _forward(self.gateway)
            self.server.ip("route", "add", "default", "via", BEHIND["gateway"].v4)
            self.server.ip("-6", "route", "add", "default", "via", BEHIND["gateway"].v6)
            self._stack = stack.pop_all()

    def _machine(self, name: str, stack: ExitStack) -> Namespace:
        machine = stack.enter_context(Namespace(name, self.user))
        _set_up_stack(machine)
        return machine

    def _connect_outside(self, stack: ExitStack) -> None:
        """Joins client and gateway by the outer network."""
        _connect(
            (self.client, "outer", OUTER["client"]),
            (self.gateway, "outer", OUTER["gateway"]),
            self._mtu,
            cpu=0,
        )
        if self._napi:
            for machine in (self.client, self.gateway):
                _poll(machine, "outer")

    @property
    def machines(self) -> tuple[Namespace, Namespace, Namespace]:
        """Client, gateway, server."""
        return self.client, self.gateway, self.server

    def another_client(self, name: str, number: int) -> Namespace:
        """One more machine, with a cable of its own to the gateway: it is .1 there, and the gateway .2."""
        machine = self._stack.enter_context(Namespace(name, self.user))
        _set_up_stack(machine)
        ours, gateways = (
            Dual(f"198.18.{number}.{host}", f"2001:db8:f{number:x}::{host}") for host in (1, 2)
        )
        _connect((machine, "outer", ours), (self.gateway, f"outer{number}", gateways), 1500, 0)
        return machine

    def close(self) -> None:
        """Stops all that runs in it and lets it go."""
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


class RoutedNetwork(Network):
    """The same with a router between client and gateway: its interfaces are `near` and `far`."""

    outer = ROUTED
    router: Namespace

    def _connect_outside(self, stack: ExitStack) -> None:
        self.router = self._machine("router", stack)
        near, far = ROUTED["router"], ROUTED["far router"]
        for one, two in (
            ((self.client, "outer", ROUTED["client"]), (self.router, "near", near)),
            ((self.router, "far", far), (self.gateway, "outer", ROUTED["gateway"])),
        ):
            _connect(one, two, self._mtu, cpu=0)
        _forward(self.router)
        for machine, via in ((self.client, near), (self.gateway, far)):
            machine.ip("route", "add", "default", "via", via.v4)
            machine.ip("-6", "route", "add", "default", "via", via.v6)


def _forward(machine: Namespace) -> None:
    machine.sysctl("net.ipv4.ip_forward", "1")
    machine.sysctl("net.ipv6.conf.all.forwarding", "1")


def _set_up_stack(machine: Namespace) -> None:
    # What paces (bbr) has timers of its own. As a default, a namespace is given only what any user of the
    # machine may choose (net/ipv4/tcp_cong.c), of which reno is always one; loads ask for cubic themselves.
    if not machine.sysctl("net.ipv4.tcp_congestion_control", "cubic"):
        machine.sysctl("net.ipv4.tcp_congestion_control", "reno")
    # One fast flow needs more than the defaults; a user namespace may not raise the global maxima,
    # which do not bound what TCP tunes by itself.
    machine.sysctl("net.ipv4.tcp_rmem", "4096 131072 16777216")
    machine.sysctl("net.ipv4.tcp_wmem", "4096 131072 16777216")
    machine.sysctl("net.ipv4.ping_group_range", "0 0")
    # An address is used at once: for a second, nobody would be asked whether it is taken (RFC 4862).
    machine.sysctl("net.ipv6.conf.default.accept_dad", "0")
    # A cached slow start threshold would make the second flow's speed depend on the first's luck.
    machine.sysctl("net.ipv4.tcp_no_metrics_save", "1")


_End = tuple[Namespace, str, Dual]


def _connect(one: _End, two: _End, mtu: int, cpu: int) -> None:
    """Joins two machines by a cable that keeps its packets' order; `cpu` receives, where there is one."""
    cpu %= os.cpu_count() or 1
    peer = ["peer", "name", two[1], "netns", str(two[0].pid)]
    one[0].ip("link", "add", one[1], "type", "veth", *peer)
    for machine, name, address in (one, two):
        machine.ip("address", "add", f"{address.v4}/24", "dev", name)
        machine.ip("address", "add", f"{address.v6}/64", "dev", name, "nodad")
        _receive_on(machine, name, cpu)
        machine.ip("link", "set", name, "mtu", str(mtu), "up")


def _introduce(one: _End, two: _End) -> None:
    # What waits for a neighbour's address is sent without the lock that the next packet would wait for
    # (net/core/neighbour.c, __neigh_update): a flow that asks for it overtakes itself, one time in five. On
    # the outer network a handshake, one message, asks before.
    for (machine, name, _), (other, its_name, addresses) in ((one, two), (two, one)):
        address = other.run("cat", f"/sys/class/net/{its_name}/address").stdout.strip()
        for version in (4, 6):
            known = [addresses.of(version), "lladdr", address, "nud", "permanent", "dev", name]
            machine.ip("neighbour", "replace", *known)


# By its path: -P keeps the modules beside it off Python's.
_POLLED = str(Path(__file__).parents[2] / "lab" / "veth_napi.py")
_STEERING = "/sys/class/net/{}/queues/rx-0/rps_cpus"


def _poll(machine: Namespace, name: str) -> None:
    """Stops steering one end of a cable, or says why it goes on: see `lab.veth_napi`."""
    steering = _STEERING.format(name)
    polled = machine.run(sys.executable, "-P", _POLLED, name, steering, check=False)
    if polled.returncode != 0:
        reason = polled.stderr.strip().rpartition("\n")[2]
        print(f"lab: {machine.name} goes on steering what it receives: {reason}", file=sys.stderr)


def _receive_on(machine: Namespace, name: str, cpu: int) -> None:
    # A veth hands a packet to the queue of the CPU that sent it (net/core/dev.c, netif_rx): a
    # sender that moves to another CPU overtakes itself. With receive packet steering to one CPU,
    # whoever sends, what is out of order afterwards is the tunnel's doing. To several CPUs it would
    # steer by flow, and a fragment, whose ports nobody knows, is of another flow than its neighbours.
    path = _STEERING.format(name)
    machine.run("sh", "-c", 'echo "$0" > "$1"', f"{1 << cpu:x}", path, check=False)
