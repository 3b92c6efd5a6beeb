"""What a role adds to the firewall of a tunnel: settings in, chains out.

gateway   masquerade   what peers send out of another interface leaves with that one's address
          between      no peer reaches another one, unless `isolate_peers = false`; it is told so by
          refused      before the kernel would send it a redirect, which takes the place of a refusal
client    leaving      with `kill_switch`: what this machine sends leaves through the tunnel, or not at all
          passing      the same for what it forwards
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

# Told to who sent it, so that programs fail at once and do not wait.
_REJECT = {"reject": {"type": "icmpx", "expr": "admin-prohibited"}}
# What keeps the link below the tunnel alive: leases (RFC 2131, RFC 8415) and neighbours (RFC 4861,
# RFC 3810). It carries nothing of the machine's traffic.
_LEASE_PORTS = ((68, 67), (546, 547))
_NEIGHBOURS = (
    "nd-router-solicit",
    "nd-neighbor-solicit",
    "nd-neighbor-advert",
    "mld2-listener-report",
)


def chains(interface: str, settings: Settings, mark: int) -> list[Chain]:
    """The chains of a tunnel's role. `mark`: of our own datagrams."""
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
        where_to = {"fib": {"result": "oifname", "flags": ["daddr"]}}
        refused: Rule = [from_peers, match(where_to, interface), _REJECT]
        between: Rule = [from_peers, match(meta("oifname"), interface), DROP]
        found += [
            Chain(name="refused", hook="prerouting", rules=(refused,)),
            Chain(name="between", hook="forward", rules=(between,)),
        ]
    return found


def _kill_switch(interface: str, mark: int) -> list[Chain]:
    ours: Rule = [match(meta("l4proto"), "udp"), match(meta("mark"), mark), ACCEPT]
    leases: list[Rule] = [
        [match(header("udp", "sport"), ours), match(header("udp", "dport"), theirs), ACCEPT]
        for ours, theirs in _LEASE_PORTS
    ]
    neighbours: Rule = [match(header("icmpv6", "type"), _NEIGHBOURS), ACCEPT]
    through: Rule = [match(meta("oifname"), ["lo", interface]), ACCEPT]
    back: Rule = [match(meta("iifname"), interface), ACCEPT]
    return [
        Chain(
            name="leaving",
            hook="output",
            priority=PRIORITY_FILTER,
            rules=(through, ours, *leases, neighbours, [_REJECT]),
        ),
        Chain(name="passing", hook="forward", rules=(through, back, [_REJECT])),
    ]
