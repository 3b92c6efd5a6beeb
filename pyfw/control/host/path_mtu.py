"""Computes the MTU of a tunnel from the routes to its endpoints, as wg-quick does."""

from collections.abc import Iterable
from typing import Any

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from pyfw.control.host.policy_routing import FAMILIES, TABLE_MAIN

# wg-quick: the overhead of a datagram is at most 80 B (IPv6 40, UDP 8, WireGuard 32).
_OVERHEAD = 80
_ETHERNET = 1500


async def tunnel_mtu(
    ipr: AsyncIPRoute, endpoints: Iterable[str], own_index: int, mark: int = 0
) -> int:
    """Returns the largest MTU of the routes to the endpoints, or of the default route, minus 80.

    The largest, as with wg-quick: path MTU discovery handles paths with a smaller one.

    endpoints: numeric, "address:port".
    own_index: the index of the tunnel's link, whose routes are ignored.
    mark: the mark of the tunnel's datagrams, which bypasses a default route through the tunnel.
    """
    mtus = []
    for endpoint in endpoints:
        host = endpoint.rpartition(":")[0].strip("[]").partition("%")[0]
        query = {"dst": host, **({"mark": mark} if mark else {})}
        try:
            for route in await ipr.route("get", **query):
                if route.get_attr("RTA_OIF") != own_index:
                    mtus.append(await _mtu_of(ipr, route))
        except NetlinkError:
            continue  # no route yet
    default = None if mtus else await _default_route(ipr, own_index)
    if default is not None:
        mtus = [await _mtu_of(ipr, default)]
    return max(mtus, default=_ETHERNET) - _OVERHEAD


async def _default_route(ipr: AsyncIPRoute, own_index: int) -> Any:
    """Returns the default route of the main table; IPv4's if there are two."""
    for family in FAMILIES.values():
        routes = [
            route
            async for route in await ipr.route("dump", family=family)
            if route["dst_len"] == 0
            and route.get_attr("RTA_TABLE") == TABLE_MAIN
            and route.get_attr("RTA_OIF") not in (None, own_index)
        ]
        if routes:
            return min(routes, key=lambda route: route.get_attr("RTA_PRIORITY") or 0)
    return None


async def _mtu_of(ipr: AsyncIPRoute, route: Any) -> int:
    metrics = route.get_attr("RTA_METRICS")
    if metrics is not None and (mtu := metrics.get_attr("RTAX_MTU")):
        return int(mtu)
    (link,) = await ipr.link("get", index=route.get_attr("RTA_OIF"))
    # The loopback's 65536 is no path MTU.
    limit = _ETHERNET if link.get_attr("IFLA_IFNAME") == "lo" else 65_535
    return min(int(link.get_attr("IFLA_MTU")), limit)
