"""A tunnel's link through rtnetlink: its addresses, MTU, state and routes.

What is asked for is compared with what this object set before, so that a reload adds and takes away only what
changed, and never touches a route of another link. All of it goes with the link.
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
    """Where packets to a network are looked up to be sent into the tunnel."""

    network: _Network
    table: int


class Link:
    """One interface in the current network namespace. Its methods raise OSError."""

    def __init__(self, name: str, steps: StepReporter) -> None:
        self.name = name
        self.index = socket.if_nametoindex(name)
        self._steps = steps
        self._addresses: dict[str, None] = {}
        self._routes: set[Route] = set()

    async def set_addresses(self, ipr: AsyncIPRoute, addresses: Sequence[str]) -> None:
        """Adds and takes away "address/length"."""
        # First: a new address beside an old one of its network would be secondary, and go with it.
        for text in self._addresses.keys() - set(addresses):
            self._steps.step(f"ip -{_version(text)} address delete {text} dev {self.name}")
            with contextlib.suppress(NetlinkError):  # it was gone already
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
        """Sets the MTU and the link's state."""
        self._steps.step(f"ip link set mtu {mtu} up dev {self.name}")
        try:
            await ipr.link("set", index=self.index, mtu=mtu, state="up")
        except NetlinkError as error:
            raise OSError(error.code, f"{self.name}: MTU {mtu}: {error.args[-1]}") from error

    async def set_routes(self, ipr: AsyncIPRoute, routes: Iterable[Route]) -> None:
        """Adds and takes away routes; the longest prefix first, as wg-quick does."""
        wanted = set(routes)
        for route in sorted(self._routes - wanted, key=_longest_first):
            self._steps.step(self._words("delete", route))
            with contextlib.suppress(NetlinkError):
                await ipr.route("del", **self._route(route))
            self._routes.discard(route)
        for route in sorted(wanted, key=_longest_first):
            # Also those that were there: the kernel takes them away with the last address.
            if await self._add_route(ipr, route):
                self._routes.add(route)

    async def _add_route(self, ipr: AsyncIPRoute, route: Route) -> bool:
        """Whether it is ours to take away."""
        ours = route in self._routes
        if not ours:
            self._steps.step(self._words("add", route))
        try:
            # Not "replace": that would take the route of another link.
            await ipr.route("add", **self._route(route))
        except NetlinkError as error:
            if error.code != errno.EEXIST or not (ours or await self._is_there(ipr, route)):
                text = f"route {route.network}: {error.args[-1]}"
                raise OSError(error.code, text) from error
            return ours
        if ours:
            self._steps.step(self._words("add", route))
        return True

    def ipv6_is_off(self) -> bool:
        """Whether the kernel has no IPv6, or this link has it switched off."""
        switch = Path(f"/proc/sys/net/ipv6/conf/{self.name}/disable_ipv6")
        try:
            return switch.read_text().strip() != "0"
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
            # As `ip route add` makes them.
            "proto": "boot",
            "scope": "link" if family == socket.AF_INET else "universe",
        }

    async def _is_there(self, ipr: AsyncIPRoute, route: Route) -> bool:
        """Whether this link has it already: from the kernel, or from a hook."""
        base = str(route.network.network_address)
        family = FAMILIES[route.network.version]
        async for found in await ipr.route("dump", family=family, oif=self.index):
            there = (found.get_attr("RTA_DST") or base, found["dst_len"], found["type"])
            wanted = (base, route.network.prefixlen, _RTN_UNICAST)
            if there == wanted and found.get_attr("RTA_TABLE") == route.table:
                return True
        return False

    def _words(self, what: str, route: Route) -> str:
        version, table = route.network.version, route.table
        words = f"ip -{version} route {what} {route.network} dev {self.name}"
        return words if table == TABLE_MAIN else f"{words} table {table}"


def connected(addresses: Iterable[str]) -> list[_Network]:
    """The networks that the kernel makes routes for when the link has these addresses."""
    networks = [ipaddress.ip_interface(address).network for address in addresses]
    # An IPv4 address alone is of the local table.
    return [network for network in networks if network.version == 6 or network.prefixlen < 32]


def covered(network: _Network, by: Iterable[_Network]) -> bool:
    """Whether one of them contains it."""
    return any(
        network.version == other.version and network.subnet_of(other)  # type: ignore[arg-type]
        for other in by
    )


def _longest_first(route: Route) -> tuple[int, str]:
    return -route.network.prefixlen, str(route.network)


def _version(address: str) -> int:
    return ipaddress.ip_interface(address).version
