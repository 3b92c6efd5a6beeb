"""TUN to UDP and back with nothing between, as a process.

In: a configuration that `lab_only` let through, with one peer. Out: the link with its addresses and
routes, "up" on standard output, then frames, until it is killed.
"""

import asyncio
import ipaddress
import os

from pyroute2 import AsyncIPRoute

from pyfw import _native
from pyfw.config import Config
from pyfw.control.echo import Echo
from pyfw.control.link import Link, Route
from pyfw.control.policy_routing import TABLE_MAIN
from pyfw.pipeline import MTU_DEFAULT

# What WireGuard adds to a packet (whitepaper §5.4.6): batches of the length that a tunnel's have.
_OVERHEAD = 32


def carry(config: Config) -> None:
    """Runs until the link is deleted. Raises OSError then."""
    peer = config.peers[0].endpoint
    assert peer is not None, "lab_only refuses a peer without one"
    tun_fd, _name, _granted = _native.open_tun(config.name)
    v4, v6, _port = _native.open_udp(config.interface.listen_port or 0)
    used, unused = (v6, v4) if peer.startswith("[") else (v4, v6)
    if unused >= 0:
        os.close(unused)
    asyncio.run(_bring_up(config))
    print("up", flush=True)
    _native.forward_bare(tun_fd, used, peer, (config.interface.mtu or MTU_DEFAULT) + _OVERHEAD)


async def _bring_up(config: Config) -> None:
    link = Link(config.name, Echo(config.name))
    networks = [ipaddress.ip_network(text) for peer in config.peers for text in peer.allowed_ips]
    async with AsyncIPRoute() as ipr:
        await link.set_addresses(ipr, config.interface.addresses)
        await link.set_mtu_and_up(ipr, config.interface.mtu or MTU_DEFAULT)
        await link.set_routes(ipr, [Route(network, TABLE_MAIN) for network in networks])
