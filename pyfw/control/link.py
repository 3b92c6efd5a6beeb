"""The interface's addresses, MTU, state and routes, as wg-quick sets them, through rtnetlink.

What is asked for is compared with what this object set before, so that a reload adds and takes away only
what changed. Routes and addresses go with the link; policy rules do not, and `undo` takes them back.
"""

import contextlib
import errno
import ipaddress
import socket
from pathlib import Path
from typing import Any

import structlog
from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from pyfw.config import Config
from pyfw.pipeline import MTU_DEFAULT

# wg-quick: a WireGuard datagram costs 80 B at most (IPv6 40, UDP 8, WireGuard 32).
_OVERHEAD = 80
# wg-quick looks for a free table, and takes its number for the mark, from here on.
_TABLE_FIRST = 51_820
_TABLE_MAIN = 254
# Evaluated before the main table's rule (32766): first whatever main knows better than "everything",
# then, for all but our own datagrams, the tunnel.
_PRIORITY_MAIN, _PRIORITY_TUNNEL = 32_764, 32_765
_FIB_RULE_INVERT = 2
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Link:
    """One interface in the current network namespace."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._log = structlog.get_logger("pyfw").bind(interface=name)
        self._addresses: set[str] = set()
        self._routes: set[tuple[str, int]] = set()
        self._rules: list[dict[str, Any]] = []

    async def apply(self, config: Config) -> tuple[int, int]:
        """Brings the link to what the configuration asks. Returns its MTU and the mark datagrams need.

        Endpoints must be numeric. Raises OSError.
        """
        index = socket.if_nametoindex(self.name)
        try:
            async with AsyncIPRoute() as ipr:
                mtu = config.interface.mtu or await _path_mtu(ipr, config, index)
                await ipr.link("set", index=index, mtu=mtu)
                await self._set_addresses(ipr, index, config.interface.addresses)
                await ipr.link("set", index=index, state="up")
                mark = await self._set_routes(ipr, index, config)
        except NetlinkError as error:
            raise OSError(error.code, f"{self.name}: {error.args[-1]}") from error
        return mtu, mark

    async def undo(self) -> None:
        """Takes back what would outlive the link."""
        if not self._rules:
            return
        async with AsyncIPRoute() as ipr:
            for rule in self._rules:
                await _quietly(ipr.rule("del", **rule))
        self._rules.clear()

    async def _set_addresses(
        self, ipr: AsyncIPRoute, index: int, addresses: tuple[str, ...]
    ) -> None:
        # First: a new address beside an old one of its network would be secondary, and go with it.
        for text in self._addresses.difference(addresses):
            old = ipaddress.ip_interface(text)
            prefix = old.network.prefixlen
            await _quietly(ipr.addr("del", index=index, address=str(old.ip), prefixlen=prefix))
        for text in addresses:
            address = ipaddress.ip_interface(text)
            prefix = address.network.prefixlen
            try:
                await ipr.addr("replace", index=index, address=str(address.ip), prefixlen=prefix)
            except NetlinkError as error:
                # IPv6 may be switched off here; IPv4 must work all the same.
                if address.version == 4 or error.code not in (errno.EACCES, errno.EOPNOTSUPP):
                    raise OSError(error.code, f"{text}: {error.args[-1]}") from error
                self._log.warning("address not set", address=text, reason=str(error.args[-1]))
        self._addresses = set(addresses)

    async def _set_routes(self, ipr: AsyncIPRoute, index: int, config: Config) -> int:
        """Routes for all allowed IPs that no address of the link covers. Returns the mark."""
        mark = config.interface.fwmark or 0
        wanted: set[tuple[str, int]] = set()
        table = config.interface.table
        if table != "off":
            connected = [ipaddress.ip_interface(a).network for a in config.interface.addresses]
            networks = [ipaddress.ip_network(n) for p in config.peers for n in p.allowed_ips]
            networks = [n for n in networks if n.prefixlen == 0 or not _covered(n, connected)]
            if table == "auto":
                versions: set[int] = {n.version for n in networks if n.prefixlen == 0}
                if versions:
                    mark = mark or self._own_table() or await _free_table(ipr)
                await self._set_rules(ipr, mark, versions)
            for network in networks:
                default = network.prefixlen == 0
                number = table if isinstance(table, int) else mark if default else _TABLE_MAIN
                wanted.add((str(network), number))
        for destination, number in sorted(wanted):
            family = _FAMILIES[ipaddress.ip_network(destination).version]
            try:
                await ipr.route("replace", dst=destination, oif=index, table=number, family=family)
            except NetlinkError as error:
                raise OSError(error.code, f"route {destination}: {error.args[-1]}") from error
        for destination, number in self._routes - wanted:
            await _quietly(ipr.route("del", dst=destination, oif=index, table=number))
        self._routes = wanted
        return mark

    def _own_table(self) -> int:
        return next((rule["table"] for rule in self._rules if "fwmark" in rule), 0)

    async def _set_rules(self, ipr: AsyncIPRoute, mark: int, versions: set[int]) -> None:
        wanted: list[dict[str, Any]] = []
        for version in sorted(versions):
            family = _FAMILIES[version]
            wanted += [
                {
                    "family": family,
                    "priority": _PRIORITY_TUNNEL,
                    "table": mark,
                    "fwmark": mark,
                    "fwmask": 0xFFFF_FFFF,
                    "flags": _FIB_RULE_INVERT,
                },
                {
                    "family": family,
                    "priority": _PRIORITY_MAIN,
                    "table": _TABLE_MAIN,
                    "FRA_SUPPRESS_PREFIXLEN": 0,
                },
            ]
        for rule in wanted:
            if rule not in self._rules:
                await _quietly(ipr.rule("del", **rule))  # of a run that was killed
                await ipr.rule("add", **rule)
        for rule in self._rules:
            if rule not in wanted:
                await _quietly(ipr.rule("del", **rule))
        self._rules = wanted
        if 4 in versions:
            self._let_marked_replies_in()

    def _let_marked_replies_in(self) -> None:
        # They must pass the reverse-path filter (wg-quick).
        valid_mark = Path("/proc/sys/net/ipv4/conf/all/src_valid_mark")
        try:
            if valid_mark.read_text().strip() != "1":
                valid_mark.write_text("1")
        except OSError as error:
            self._log.warning("src_valid_mark not set", reason=str(error))


def _covered(network: _Network, by: list[_Network]) -> bool:
    return any(
        network.version == other.version and network.subnet_of(other)  # type: ignore[arg-type]
        for other in by
    )


async def _path_mtu(ipr: AsyncIPRoute, config: Config, own_index: int) -> int:
    """The smallest MTU on the way to a peer, less what WireGuard adds (wg-quick)."""
    mtus: list[int] = []
    for peer in config.peers:
        if peer.endpoint is not None:
            host = peer.endpoint.rpartition(":")[0].strip("[]").partition("%")[0]
            try:
                for route in await ipr.route("get", dst=host):
                    if (index := route.get_attr("RTA_OIF")) != own_index:
                        mtus.append(await _mtu_of(ipr, route, index))
            except NetlinkError:
                continue  # no way there yet
    return min(mtus) - _OVERHEAD if mtus else MTU_DEFAULT


async def _mtu_of(ipr: AsyncIPRoute, route: Any, index: int) -> int:
    metrics = route.get_attr("RTA_METRICS")
    if metrics is not None and (mtu := metrics.get_attr("RTAX_MTU")):
        return int(mtu)
    (link,) = await ipr.link("get", index=index)
    # The loopback's 65536 says nothing of a path.
    return min(
        int(link.get_attr("IFLA_MTU")), 1500 if link.get_attr("IFLA_IFNAME") == "lo" else 65_535
    )


async def _free_table(ipr: AsyncIPRoute) -> int:
    taken = set()
    for family in _FAMILIES.values():
        async for route in await ipr.route("dump", family=family):
            taken.add(route.get_attr("RTA_TABLE"))
    table = _TABLE_FIRST
    while table in taken:
        table += 1
    return table


async def _quietly(request: Any) -> None:
    with contextlib.suppress(NetlinkError):  # it was gone already
        await request
