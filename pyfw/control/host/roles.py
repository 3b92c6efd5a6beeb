"""Firewall chains of a tunnel's role.

gateway   masquerade            packets from peers leave other interfaces with the address of that interface
          isolate_drop          peers cannot reach each other, unless `isolate_peers = false`
          isolate_reject        answers them with an ICMP error, before the kernel sends a redirect
client    kill_switch_output    with `kill_switch`: packets of this machine leave through the tunnel only
          kill_switch_forward   the same for forwarded packets
"""

from pyfw.config import Settings
from pyfw.control.host.firewall import (
    ACCEPT,
    DROP,
    MASQUERADE,
    PRIORITY_FILTER,
    PRIORITY_SRCNAT,
    Chain,
    Rule,
    header,
    match,
    meta,
)

# An ICMP error, so that programs fail at once instead of waiting for a timeout.
_REJECT = {"reject": {"type": "icmpx", "expr": "admin-prohibited"}}
# What keeps the link below the tunnel alive, without the machine's own traffic: DHCP (RFC 2131, RFC 8415)
# and neighbour discovery (RFC 4861, RFC 3810).
_DHCP_PORTS = ((68, 67), (546, 547))
_NEIGHBOUR_DISCOVERY = (
    "nd-router-solicit",
    "nd-neighbor-solicit",
    "nd-neighbor-advert",
    "mld2-listener-report",
)


def chains(interface: str, settings: Settings, mark: int) -> list[Chain]:
    """Returns the chains of a tunnel's role. `mark`: of the tunnel's datagrams."""
    match settings.role:
        case "gateway":
            return _gateway(interface, settings.isolate_peers)
        case "client" if settings.kill_switch:
            return _kill_switch(interface, mark)
    return []


def _gateway(interface: str, isolate_peers: bool) -> list[Chain]:
    from_peers = match(meta("iifname"), interface)
    masquerade: Rule = [from_peers, match(meta("oifname"), interface, "!="), MASQUERADE]
    found = [
        Chain(
            name="masquerade",
            kind="nat",
            hook="postrouting",
            priority=PRIORITY_SRCNAT,
            rules=(masquerade,),
        )
    ]
    if isolate_peers:
        output_interface = {"fib": {"result": "oifname", "flags": ["daddr"]}}
        reject: Rule = [from_peers, match(output_interface, interface), _REJECT]
        drop: Rule = [from_peers, match(meta("oifname"), interface), DROP]
        found += [
            Chain(name="isolate_reject", hook="prerouting", rules=(reject,)),
            Chain(name="isolate_drop", hook="forward", rules=(drop,)),
        ]
    return found


def _kill_switch(interface: str, mark: int) -> list[Chain]:
    datagrams: Rule = [match(meta("l4proto"), "udp"), match(meta("mark"), mark), ACCEPT]
    dhcp: list[Rule] = [
        [match(header("udp", "sport"), client), match(header("udp", "dport"), server), ACCEPT]
        for client, server in _DHCP_PORTS
    ]
    neighbours: Rule = [match(header("icmpv6", "type"), _NEIGHBOUR_DISCOVERY), ACCEPT]
    to_tunnel: Rule = [match(meta("oifname"), ["lo", interface]), ACCEPT]
    from_tunnel: Rule = [match(meta("iifname"), interface), ACCEPT]
    return [
        Chain(
            name="kill_switch_output",
            hook="output",
            priority=PRIORITY_FILTER,
            rules=(to_tunnel, datagrams, *dhcp, neighbours, [_REJECT]),
        ),
        Chain(
            name="kill_switch_forward",
            hook="forward",
            rules=(to_tunnel, from_tunnel, [_REJECT]),
        ),
    ]
