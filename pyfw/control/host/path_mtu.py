"""The MTU of a tunnel whose file names none: endpoints in, what their routes carry less 80 B out."""

from collections.abc import Iterable
from typing import Any

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from pyfw.control.host.policy_routing import FAMILIES, TABLE_MAIN

# wg-quick: a WireGuard datagram costs 80 B at most (IPv6 40, UDP 8, WireGuard 32).
_OVERHEAD = 80
_ETHERNET = 1500


async def tunnel_mtu(
    ipr: AsyncIPRoute, endpoints: Iterable[str], own_index: int, mark: int = 0
) -> int:
    """The largest MTU of the routes to the endpoints, less 80; without any, of the default route.

    The largest, as wg-quick has it: where a way carries less, path MTU discovery finds out.

    endpoints: numeric, "address:port". own_index: of the tunnel's link, whose routes do not count.
    mark: of our datagrams, by which they go around a default route through the tunnel.
    """
    mtus = []
    for endpoint in endpoints:
        host = endpoint.rpartition(":")[0].strip("[]").partition("%")[0]
        asked = {"dst": host, **({"mark": mark} if mark else {})}
        try:
            for route in await ipr.route("get", **asked):
                if route.get_attr("RTA_OIF") != own_index:
                    mtus.append(await _mtu_of(ipr, route))
        except NetlinkError:
            continue  # no way there yet
    default = None if mtus else await _default_route(ipr, own_index)
    if default is not None:
        mtus = [await _mtu_of(ipr, default)]
    return max(mtus, default=_ETHERNET) - _OVERHEAD


async def _default_route(ipr: AsyncIPRoute, own_index: int) -> Any:
    """The main table's; IPv4's if there are both."""
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
    # The loopback's 65536 says nothing of a path.
    limit = _ETHERNET if link.get_attr("IFLA_IFNAME") == "lo" else 65_535
    return min(int(link.get_attr("IFLA_MTU")), limit)
