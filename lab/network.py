"""The demo's network with what tests and benchmarks need: more clients, NAPI on the veth, a router."""

import sys
from contextlib import ExitStack
from pathlib import Path

from pyfw.demo import network
from pyfw.demo.namespace import Namespace
from pyfw.demo.network import OUTER, STEERING, Addresses, connect, enable_forwarding

ROUTED = {
    "client": OUTER["client"],
    "router": Addresses("192.0.2.254", "2001:db8:1::fe"),
    "far router": Addresses("203.0.113.254", "2001:db8:3::fe"),
    "gateway": Addresses("203.0.113.2", "2001:db8:3::2"),
}
"""The addresses of `RoutedNetwork` between client and gateway; the router has two."""

# Run by its path: -P keeps the modules beside it out of sys.path.
_VETH_NAPI = [sys.executable, "-P", str(Path(__file__).with_name("veth_napi.py"))]


class Network(network.Network):
    """The three machines; a context manager."""

    def __init__(self, mtu: int = 1500, napi: bool = False) -> None:
        """`napi`: client and gateway receive UDP from each other as from a network card, for benchmarks.

        NAPI merges datagrams (GRO), so tests that inspect single datagrams leave it off.
        """
        super().__init__(mtu)
        if napi:
            for machine in (self.client, self.gateway):
                _enable_napi(machine, "outer")

    def another_client(self, name: str, number: int) -> Namespace:
        """Adds a machine with a link of its own to the gateway; it is .1 on that link, the gateway .2."""
        machine = self._machine(name, self._stack)
        ours, gateways = (
            Addresses(f"198.18.{number}.{host}", f"2001:db8:f{number:x}::{host}") for host in (1, 2)
        )
        connect((machine, "outer", ours), (self.gateway, f"outer{number}", gateways), 1500, cpu=0)
        return machine


class RoutedNetwork(Network):
    """The same with a router between client and gateway; its interfaces are `near` and `far`.

    client ── outer network ── router ── gateway's network ── gateway ── network behind it ── server

    The router can lose packets, translate addresses, or have a smaller MTU.
    """

    outer = ROUTED
    router: Namespace

    def _connect_outer(self, stack: ExitStack, mtu: int) -> None:
        self.router = self._machine("router", stack)
        near, far = ROUTED["router"], ROUTED["far router"]
        for one, two in (
            ((self.client, "outer", ROUTED["client"]), (self.router, "near", near)),
            ((self.router, "far", far), (self.gateway, "outer", ROUTED["gateway"])),
        ):
            connect(one, two, mtu, cpu=0)
        enable_forwarding(self.router)
        for machine, via in ((self.client, near), (self.gateway, far)):
            machine.ip("route", "add", "default", "via", via.v4)
            machine.ip("-6", "route", "add", "default", "via", via.v6)


def _enable_napi(machine: Namespace, interface: str) -> None:
    """Enables NAPI on one end of a link, or prints why it stays off."""
    steering = STEERING.format(interface)
    done = machine.run(*_VETH_NAPI, interface, steering, check=False)
    if done.returncode != 0:
        reason = done.stderr.strip().rpartition("\n")[2]
        print(f"lab: {machine.name} receives without NAPI: {reason}", file=sys.stderr)
