"""Configures a tunnel's link over rtnetlink: addresses, MTU, state and routes.

Changes are relative to what the same object set before, so a reload adds and removes only what differs, and
never touches routes of other links. All of it disappears with the link.
"""

import contextlib
import errno
import ipaddress
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from pyfw.control.host.policy_routing import FAMILIES, TABLE_MAIN
from pyfw.control.host.step_reporter import StepReporter

_RTN_UNICAST = 1  # linux/rtnetlink.h

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Route(NamedTuple):
    """A route into the tunnel, and its routing table."""

    network: _Network
    table: int


class Link:
    """An interface in the current network namespace. Its methods raise OSError."""

    def __init__(self, name: str, steps: StepReporter) -> None:
        self.name = name
        self.index = socket.if_nametoindex(name)
        self._steps = steps
        self._addresses: dict[str, None] = {}
        self._routes: set[Route] = set()

    async def set_addresses(self, ipr: AsyncIPRoute, addresses: Sequence[str]) -> None:
        """Sets the addresses, as "address/length"."""
        # Delete first: a new address in the network of an old one would be secondary, and vanish with it.
        for text in self._addresses.keys() - set(addresses):
            self._steps.step(f"ip -{_version(text)} address delete {text} dev {self.name}")
            with contextlib.suppress(NetlinkError):  # already gone
                await ipr.addr("del", **self._address(text))
        for text in addresses:
            if text not in self._addresses:
                self._steps.step(f"ip -{_version(text)} address add {text} dev {self.name}")
                try:
                    await ipr.addr("replace", **self._address(text))
                except NetlinkError as error:
                    raise OSError(error.code, f"address {text}: {error.args[-1]}") from error
        self._addresses = dict.fromkeys(addresses)

    async def set_mtu_and_up(self, ipr: AsyncIPRoute, mtu: int) -> None:
        """Sets the MTU and brings the link up."""
        self._steps.step(f"ip link set mtu {mtu} up dev {self.name}")
        try:
            await ipr.link("set", index=self.index, mtu=mtu, state="up")
        except NetlinkError as error:
            raise OSError(error.code, f"{self.name}: MTU {mtu}: {error.args[-1]}") from error

    async def set_routes(self, ipr: AsyncIPRoute, routes: Iterable[Route]) -> None:
        """Sets the routes, the longest prefix first, as wg-quick does."""
        routes = set(routes)
        for route in sorted(self._routes - routes, key=_longest_first):
            self._steps.step(self._command("delete", route))
            with contextlib.suppress(NetlinkError):
                await ipr.route("del", **self._route(route))
            self._routes.discard(route)
        for route in sorted(routes, key=_longest_first):
            # Also those that were set before: the kernel deletes them with the last address.
            if await self._add_route(ipr, route):
                self._routes.add(route)

    async def _add_route(self, ipr: AsyncIPRoute, route: Route) -> bool:
        """Returns whether this object added the route, now or before."""
        ours = route in self._routes
        if not ours:
            self._steps.step(self._command("add", route))
        try:
            # Not "replace", which would take the route of another link.
            await ipr.route("add", **self._route(route))
        except NetlinkError as error:
            if error.code != errno.EEXIST or not (ours or await self._has_route(ipr, route)):
                text = f"route {route.network}: {error.args[-1]}"
                raise OSError(error.code, text) from error
            return ours
        if ours:
            self._steps.step(self._command("add", route))
        return True

    def ipv6_is_disabled(self) -> bool:
        """Whether IPv6 is missing in the kernel, or disabled on this link."""
        setting = Path(f"/proc/sys/net/ipv6/conf/{self.name}/disable_ipv6")
        try:
            return setting.read_text().strip() != "0"
        except OSError:
            return True

    def _address(self, text: str) -> dict[str, Any]:
        address = ipaddress.ip_interface(text)
        prefix = address.network.prefixlen
        return {"index": self.index, "address": str(address.ip), "prefixlen": prefix}

    def _route(self, route: Route) -> dict[str, Any]:
        family = FAMILIES[route.network.version]
        return {
            "dst": str(route.network),
            "oif": self.index,
            "table": route.table,
            "family": family,
            # As `ip route add`.
            "proto": "boot",
            "scope": "link" if family == socket.AF_INET else "universe",
        }

    async def _has_route(self, ipr: AsyncIPRoute, route: Route) -> bool:
        """Whether this link has the route already, from the kernel or from a hook."""
        base = str(route.network.network_address)
        family = FAMILIES[route.network.version]
        expected = (base, route.network.prefixlen, _RTN_UNICAST)
        async for found in await ipr.route("dump", family=family, oif=self.index):
            actual = (found.get_attr("RTA_DST") or base, found["dst_len"], found["type"])
            if actual == expected and found.get_attr("RTA_TABLE") == route.table:
                return True
        return False

    def _command(self, action: str, route: Route) -> str:
        version, table = route.network.version, route.table
        command = f"ip -{version} route {action} {route.network} dev {self.name}"
        return command if table == TABLE_MAIN else f"{command} table {table}"


def exists(name: str) -> bool:
    """Whether the current network namespace has a link of this name."""
    return any(name == other for _, other in socket.if_nameindex())


def connected_networks(addresses: Iterable[str]) -> list[_Network]:
    """Returns the networks for which the kernel adds routes if the link has these addresses."""
    networks = [ipaddress.ip_interface(address).network for address in addresses]
    # A single IPv4 address is in the local table only.
    return [network for network in networks if network.version == 6 or network.prefixlen < 32]


def is_covered(network: _Network, by: Iterable[_Network]) -> bool:
    """Whether one of the networks contains `network`."""
    return any(
        network.version == other.version and network.subnet_of(other)  # type: ignore[arg-type]
        for other in by
    )


def _longest_first(route: Route) -> tuple[int, str]:
    return -route.network.prefixlen, str(route.network)


def _version(address: str) -> int:
    return ipaddress.ip_interface(address).version
