"""Firewall chains that protect a default route through a tunnel, as wg-quick's do.

spoofing      drops packets for the tunnel's addresses that arrive on another interface, against
              probing for the addresses (CVE-2019-14899)
save_mark     copies the mark of the tunnel's datagrams to their connection
restore_mark  copies it back to the replies, so that the reverse-path filter accepts them
"""

import ipaddress
from collections.abc import Collection, Iterable

from pyfw.control.host.firewall import (
    DROP,
    PRIORITY_MANGLE,
    PRIORITY_RAW,
    Chain,
    ct,
    header,
    mangle,
    match,
    meta,
)

_NOT_FROM_THIS_HOST = match({"fib": {"result": "type", "flags": ["saddr"]}}, "local", "!=")


def chains(
    interface: str, addresses: Iterable[str], mark: int, versions: Collection[int]
) -> list[Chain]:
    """Returns the chains for a tunnel with a default route of these IP versions.

    addresses: of the interface, as "address/length". mark: of the tunnel's datagrams.
    """
    from_elsewhere = match(meta("iifname"), interface, "!=")
    drops = []
    for address in map(ipaddress.ip_interface, addresses):
        if address.version in versions:
            protocol = "ip" if address.version == 4 else "ip6"
            to_address = match(header(protocol, "daddr"), str(address.ip))
            drops.append([from_elsewhere, to_address, _NOT_FROM_THIS_HOST, DROP])
    udp = match(meta("l4proto"), "udp")
    save = [udp, match(meta("mark"), mark), mangle(ct("mark"), meta("mark"))]
    restore = [udp, match(ct("mark"), mark), mangle(meta("mark"), ct("mark"))]
    return [
        Chain(name="spoofing", hook="prerouting", priority=PRIORITY_RAW, rules=tuple(drops)),
        Chain(name="save_mark", hook="postrouting", priority=PRIORITY_MANGLE, rules=(save,)),
        Chain(name="restore_mark", hook="prerouting", priority=PRIORITY_MANGLE, rules=(restore,)),
    ]
