"""What guards a default route through a tunnel, as wg-quick does: addresses in, chains of the firewall out.

ingress   packets for the tunnel's addresses come through the tunnel, or from this machine; others who
          guess the address from outside (CVE-2019-14899) are not answered
save      our datagrams' mark is written to their connection
restore   … and put on the answers, which the reverse-path filter then lets in
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

_NOT_FROM_HERE = match({"fib": {"result": "type", "flags": ["saddr"]}}, "local", "!=")


def chains(
    interface: str, addresses: Iterable[str], mark: int, versions: Collection[int]
) -> list[Chain]:
    """Chains for a tunnel with a default route of these IP versions.

    addresses: of the interface, as "address/length". mark: of our datagrams.
    """
    from_elsewhere = match(meta("iifname"), interface, "!=")
    own = []
    for address in map(ipaddress.ip_interface, addresses):
        if address.version in versions:
            protocol = "ip" if address.version == 4 else "ip6"
            to_us = match(header(protocol, "daddr"), str(address.ip))
            own.append([from_elsewhere, to_us, _NOT_FROM_HERE, DROP])
    udp = match(meta("l4proto"), "udp")
    saved = [udp, match(meta("mark"), mark), mangle(ct("mark"), meta("mark"))]
    restored = [udp, match(ct("mark"), mark), mangle(meta("mark"), ct("mark"))]
    return [
        Chain(name="ingress", hook="prerouting", priority=PRIORITY_RAW, rules=tuple(own)),
        Chain(name="save", hook="postrouting", priority=PRIORITY_MANGLE, rules=(saved,)),
        Chain(name="restore", hook="prerouting", priority=PRIORITY_MANGLE, rules=(restored,)),
    ]
