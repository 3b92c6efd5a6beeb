"""Applies a configuration to the host: addresses, MTU, name servers, routes, firewall, rules.

`undo` reverts it by the record alone, in any process. Whatever outlives the link is recorded before it is
done.
"""

import ipaddress
from collections.abc import Awaitable, Callable

from pyroute2 import AsyncIPRoute

from pyfw.config import Config
from pyfw.control.host import dns, forwarding, policy_routing, roles, spoofing
from pyfw.control.host.firewall import Chain, Table
from pyfw.control.host.link import Link, Route, connected_networks, is_covered
from pyfw.control.host.path_mtu import tunnel_mtu
from pyfw.control.host.policy_routing import TABLE_MAIN
from pyfw.control.host.step_reporter import StepReporter
from pyfw.control.host.undo_log import UndoRecord, network_namespace


class HostNetwork:
    """The host's side of a tunnel whose link exists. Methods raise OSError.

    save_record: writes the record to disk.
    set_mark: sets the mark of the tunnel's datagrams; called before a route depends on it.
    """

    def __init__(
        self,
        name: str,
        record: UndoRecord,
        save_record: Callable[[], None],
        set_mark: Callable[[int], None],
        steps: StepReporter,
    ) -> None:
        self.name = name
        self._record = record
        self._save_record = save_record
        self._set_mark = set_mark
        self._steps = steps
        self._link = Link(name, steps)
        self._dns: tuple[str, ...] = ()
        self._chains: tuple[Chain, ...] = ()
        self._chosen_mark = 0
        self._ipv6_warned = False

    async def apply(self, config: Config) -> int:
        """Applies what differs, in wg-quick's order. Endpoints must be numeric. Returns the MTU."""
        link, interface = self._link, config.interface
        versions = self._usable_versions(config)
        addresses = [
            a for a in interface.addresses if ipaddress.ip_interface(a).version in versions
        ]
        async with AsyncIPRoute() as ipr:
            await link.set_addresses(ipr, addresses)
            mark = interface.fwmark or self._chosen_mark
            endpoints = [peer.endpoint for peer in config.peers if peer.endpoint is not None]
            mtu = interface.mtu or await tunnel_mtu(ipr, endpoints, link.index, mark)
            await link.set_mtu_and_up(ipr, mtu)
            await self._set_dns(interface.dns)
            self._set_forwarding(config, versions)
            await self._set_routes(ipr, config, versions)
        return mtu

    def restore_mark(self, mark: int) -> None:
        """Sets the mark that an earlier run chose, before anything else."""
        self._set_mark(mark)
        self._chosen_mark = mark

    def _usable_versions(self, config: Config) -> set[int]:
        """Returns the IP versions that work here: if IPv6 is disabled, IPv4 must still work."""
        networks = [n for peer in config.peers for n in peer.allowed_ips]
        needed = {
            ipaddress.ip_interface(n).version for n in (*config.interface.addresses, *networks)
        }
        if 6 not in needed or not self._link.ipv6_is_disabled():
            return {4, 6}
        if not self._ipv6_warned:
            text = "IPv6 is disabled here: its addresses and routes are left out"
            self._steps.warning("setup.ipv6_disabled", text)
            self._ipv6_warned = True
        return {4}

    async def _set_dns(self, entries: tuple[str, ...]) -> None:
        servers, domains = dns.split(entries)
        if domains and not servers:
            text = "DNS names search domains but no server: they are left out"
            self._steps.warning("dns.no_server", text)
            entries = ()
        if entries == self._dns:
            return
        backend = self._record.dns or dns.detect_backend()
        self._record.dns = backend
        self._save_record()
        if entries:
            await dns.set_(self.name, entries, backend, self._steps)
        else:
            await dns.unset(self.name, backend, self._steps)
            self._record.dns = None
            self._save_record()
        self._dns = entries

    async def _set_routes(self, ipr: AsyncIPRoute, config: Config, usable: set[int]) -> None:
        """Sets routes for all allowed IPs outside the link's own networks, and what default routes need."""
        interface = config.interface
        networks = {ipaddress.ip_network(n) for peer in config.peers for n in peer.allowed_ips}
        networks = {n for n in networks if n.version in usable}
        routes: set[Route] = set()
        default_versions: set[int] = set()
        mark = interface.fwmark or 0
        if isinstance(interface.table, int):
            routes = {Route(network, interface.table) for network in networks}
        elif interface.table == "auto":
            defaults = {network for network in networks if network.prefixlen == 0}
            default_versions = {network.version for network in defaults}
            if default_versions:
                mark = mark or self._chosen_mark or await policy_routing.free_table(ipr)
            connected = connected_networks(interface.addresses)
            others = {n for n in networks - defaults if not is_covered(n, connected)}
            routes = {Route(network, TABLE_MAIN) for network in others}
            routes |= {Route(network, mark) for network in defaults}
        await self._change_mark(mark, chosen=bool(default_versions) and not interface.fwmark)
        chains = roles.chains(self.name, config.settings, mark)
        if default_versions:
            chains += spoofing.chains(self.name, interface.addresses, mark, default_versions)
        self._record.mark = mark
        await self._set_firewall(tuple(chains), kill_switch=config.settings.kill_switch)
        await self._link.set_routes(ipr, routes)
        await self._set_rules(ipr, default_versions, mark)

    async def _change_mark(self, mark: int, *, chosen: bool) -> None:
        """Sets a mark that was chosen here. A mark from the file is part of WireGuard's configuration."""
        if chosen and mark != self._chosen_mark:
            self._steps.step(f"wg set {self.name} fwmark {mark}")
            self._set_mark(mark)
        elif not chosen and self._chosen_mark and not mark:
            self._set_mark(0)
        self._chosen_mark = mark if chosen else 0

    def _set_forwarding(self, config: Config, usable: set[int]) -> None:
        if config.settings.role == "gateway":
            versions = {ipaddress.ip_interface(a).version for a in config.interface.addresses}
            self._record.forwarding = True
            self._save_record()
            forwarding.enable(self.name, versions & usable, self._steps)
        elif self._record.forwarding:
            forwarding.disable(self.name, self._steps)
            self._record.forwarding = False
            self._save_record()

    async def _set_firewall(self, chains: tuple[Chain, ...], *, kill_switch: bool) -> None:
        """Replaces the table. A kill switch stays recorded for as long as it may be in force."""
        if chains == self._chains:
            return
        self._record.firewall = True
        self._record.kill_switch |= kill_switch
        self._save_record()
        table = Table(self.name)
        self._steps.step(f"nft -j -f - # table {table.family} {table.name}")
        await table.apply(chains)
        self._chains = chains
        self._record.firewall = bool(chains)
        self._record.kill_switch = kill_switch
        self._save_record()

    async def _set_rules(self, ipr: AsyncIPRoute, versions: set[int], table: int) -> None:
        present = {rule.version for rule in self._record.rules if rule.mark == table}
        unchanged = [rule for rule in self._record.rules if rule.version in present & versions]
        new = await policy_routing.plan(ipr, versions - present, table)
        obsolete = [rule for rule in self._record.rules if rule not in unchanged]
        self._record.rules += new
        self._save_record()
        if 4 in versions - present:
            policy_routing.enable_src_valid_mark(self._steps)
        await policy_routing.add(ipr, new, self._steps)
        await policy_routing.remove(obsolete, self._steps)
        self._record.rules = unchanged + new
        self._save_record()


async def undo(
    name: str, record: UndoRecord, steps: StepReporter, *, keep_kill_switch: bool = False
) -> None:
    """Undoes what is recorded and outlives the link. Reports errors, and goes on with the rest."""
    if record.network != network_namespace():
        text = "an earlier run left changes in another network namespace: they stay"
        steps.warning("undo.other_namespace", text)
        return
    pending: list[Awaitable[None]] = []
    if record.dns is not None:
        pending.append(dns.unset(name, record.dns, steps))
    if record.firewall and not keep_kill_switch:
        pending.append(remove_table(name, steps))
    if record.forwarding:
        pending.append(_disable_forwarding(name, steps))
    pending.append(policy_routing.remove(record.rules, steps))
    for step in pending:
        try:
            await step
        except OSError as error:
            steps.warning("undo.failed", f"cannot undo a step: {error}")


async def _disable_forwarding(name: str, steps: StepReporter) -> None:
    forwarding.disable(name, steps)


async def remove_table(name: str, steps: StepReporter) -> None:
    """Deletes a tunnel's table from the firewall. Raises OSError."""
    table = Table(name)
    steps.step(f"nft delete table {table.family} {table.name}")
    await table.remove()
