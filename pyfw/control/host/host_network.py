"""What surrounds a tunnel's link on this machine: addresses, MTU, name servers, routes, firewall, rules.

A configuration comes in, and what is there is brought to it; the way back is `undo`, by the record alone,
for whichever process does it. Before something is done that outlives the link, it is on record.
"""

import ipaddress
from collections.abc import Awaitable, Callable

from pyroute2 import AsyncIPRoute

from pyfw.config import Config
from pyfw.control.host import dns, forwarding, policy_routing, roles, spoofing
from pyfw.control.host.firewall import Chain, Table
from pyfw.control.host.link import Link, Route, connected, covered
from pyfw.control.host.path_mtu import tunnel_mtu
from pyfw.control.host.policy_routing import TABLE_MAIN
from pyfw.control.host.step_reporter import StepReporter
from pyfw.control.host.undo_log import UndoRecord, network_namespace


class HostNetwork:
    """Those of one link that is there. Methods raise OSError.

    keep: puts the record on disk.
    set_mark: called with the mark our datagrams need, before any route depends on it.
    """

    def __init__(
        self,
        name: str,
        record: UndoRecord,
        keep: Callable[[], None],
        set_mark: Callable[[int], None],
        steps: StepReporter,
    ) -> None:
        self.name = name
        self._record = record
        self._keep = keep
        self._set_mark = set_mark
        self._steps = steps
        self._link = Link(name, steps)
        self._dns: tuple[str, ...] = ()
        self._chains: tuple[Chain, ...] = ()
        self._own_mark = 0
        self._told_of_ipv6 = False

    async def apply(self, config: Config) -> int:
        """Does what differs, in wg-quick's order. Endpoints must be numeric. Returns the MTU."""
        link, interface = self._link, config.interface
        usable = self._usable_versions(config)
        addresses = [a for a in interface.addresses if ipaddress.ip_interface(a).version in usable]
        async with AsyncIPRoute() as ipr:
            await link.set_addresses(ipr, addresses)
            mark = interface.fwmark or self._own_mark
            endpoints = [peer.endpoint for peer in config.peers if peer.endpoint is not None]
            mtu = interface.mtu or await tunnel_mtu(ipr, endpoints, link.index, mark)
            await link.set_mtu_and_up(ipr, mtu)
            await self._set_dns(interface.dns)
            self._set_forwarding(config, usable)
            await self._set_routes(ipr, config, usable)
        return mtu

    def take_mark(self, mark: int) -> None:
        """Marks our datagrams as an earlier run did, before anything else."""
        self._set_mark(mark)
        self._own_mark = mark

    def _usable_versions(self, config: Config) -> set[int]:
        """IP versions there are here; IPv4 has to work where IPv6 is switched off."""
        networks = [n for peer in config.peers for n in peer.allowed_ips]
        asked = {
            ipaddress.ip_interface(n).version for n in (*config.interface.addresses, *networks)
        }
        if 6 not in asked or not self._link.ipv6_is_off():
            return {4, 6}
        if not self._told_of_ipv6:
            self._steps.warning("IPv6 is switched off here: its addresses and routes are left out")
            self._told_of_ipv6 = True
        return {4}

    async def _set_dns(self, entries: tuple[str, ...]) -> None:
        servers, domains = dns.split(entries)
        if domains and not servers:
            self._steps.warning(
                "search domains are set beside a DNS server only, and none is given"
            )
            entries = ()
        if entries == self._dns:
            return
        backend = self._record.dns or dns.found()
        self._record.dns = backend
        self._keep()
        if entries:
            await dns.set_(self.name, entries, backend, self._steps)
        else:
            await dns.unset(self.name, backend, self._steps)
            self._record.dns = None
            self._keep()
        self._dns = entries

    async def _set_routes(self, ipr: AsyncIPRoute, config: Config, usable: set[int]) -> None:
        """Routes for all allowed IPs that no address of the link covers, and what a default one needs."""
        interface = config.interface
        networks = {ipaddress.ip_network(n) for peer in config.peers for n in peer.allowed_ips}
        networks = {n for n in networks if n.version in usable}
        routes: set[Route] = set()
        versions: set[int] = set()
        mark = interface.fwmark or 0
        if isinstance(interface.table, int):
            routes = {Route(network, interface.table) for network in networks}
        elif interface.table == "auto":
            defaults = {network for network in networks if network.prefixlen == 0}
            versions = {network.version for network in defaults}
            if versions:
                mark = mark or self._own_mark or await policy_routing.free_table(ipr)
            near = connected(interface.addresses)
            others = {n for n in networks - defaults if not covered(n, near)}
            routes = {Route(network, TABLE_MAIN) for network in others}
            routes |= {Route(network, mark) for network in defaults}
        await self._mark(mark, chosen=bool(versions) and not interface.fwmark)
        chains = roles.chains(self.name, config.settings, mark)
        if versions:
            chains += spoofing.chains(self.name, interface.addresses, mark, versions)
        self._record.mark = mark
        await self._set_firewall(tuple(chains), closed=config.settings.kill_switch)
        await self._link.set_routes(ipr, routes)
        await self._set_rules(ipr, versions, mark)

    async def _mark(self, mark: int, *, chosen: bool) -> None:
        """A mark that the file names is set with the rest of it; one that was chosen here is set here."""
        if chosen and mark != self._own_mark:
            self._steps.step(f"wg set {self.name} fwmark {mark}")
            self._set_mark(mark)
        elif not chosen and self._own_mark and not mark:
            self._set_mark(0)
        self._own_mark = mark if chosen else 0

    def _set_forwarding(self, config: Config, usable: set[int]) -> None:
        if config.settings.role == "gateway":
            has = {ipaddress.ip_interface(a).version for a in config.interface.addresses}
            self._record.forwarding = True
            self._keep()
            forwarding.switch_on(self.name, has & usable, self._steps)
        elif self._record.forwarding:
            forwarding.switch_off(self.name, self._steps)
            self._record.forwarding = False
            self._keep()

    async def _set_firewall(self, chains: tuple[Chain, ...], *, closed: bool) -> None:
        """`closed`: it is a kill switch, which is on record for as long as it may be in force."""
        if chains == self._chains:
            return
        self._record.firewall = True
        self._record.kill_switch |= closed
        self._keep()
        table = Table(self.name)
        self._steps.step(f"nft -j -f - # table {table.family} {table.name}")
        await table.apply(chains)
        self._chains = chains
        self._record.firewall = bool(chains)
        self._record.kill_switch = closed
        self._keep()

    async def _set_rules(self, ipr: AsyncIPRoute, versions: set[int], table: int) -> None:
        has = {rule.version for rule in self._record.rules if rule.mark == table}
        stay = [rule for rule in self._record.rules if rule.version in has & versions]
        new = await policy_routing.plan(ipr, versions - has, table)
        go = [rule for rule in self._record.rules if rule not in stay]
        self._record.rules += new
        self._keep()
        if 4 in versions - has:
            policy_routing.let_marked_replies_in(self._steps)
        await policy_routing.add(ipr, new, self._steps)
        await policy_routing.remove(go, self._steps)
        self._record.rules = stay + new
        self._keep()


async def undo(
    name: str, record: UndoRecord, steps: StepReporter, *, keep_closed: bool = False
) -> None:
    """Takes back what is on record and outlives the link. What fails is told, and the rest done.

    keep_closed: a kill switch stays in force.
    """
    if record.network != network_namespace():
        steps.warning("what was left in another network namespace stays there")
        return
    undoing: list[Awaitable[None]] = []
    if record.dns is not None:
        undoing.append(dns.unset(name, record.dns, steps))
    if record.firewall and not keep_closed:
        undoing.append(remove_table(name, steps))
    if record.forwarding:
        undoing.append(_forwarding_off(name, steps))
    undoing.append(policy_routing.remove(record.rules, steps))
    for step in undoing:
        try:
            await step
        except OSError as error:
            steps.warning("not undone", reason=str(error))


async def _forwarding_off(name: str, steps: StepReporter) -> None:
    forwarding.switch_off(name, steps)


async def remove_table(name: str, steps: StepReporter) -> None:
    """Takes a tunnel's table out of the firewall. Raises OSError."""
    table = Table(name)
    steps.step(f"nft delete table {table.family} {table.name}")
    await table.remove()
