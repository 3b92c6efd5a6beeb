"""What a tunnel may change about a machine, as one comparable value: before, during, after."""

import json
import re

from lab import Namespace


def surroundings(at: Namespace) -> dict[str, list[str]]:
    """Addresses, routes, rules, firewall, name servers, switches and files, in a fixed order.

    What the kernel adds by itself (link-local addresses, their routes) comes with time, and is left out.
    """
    addresses = json.loads(at.ip("-j", "address"))
    return {
        "addresses": sorted(
            f"{link['ifname']} {one['local']}/{one['prefixlen']}"
            for link in addresses
            for one in link["addr_info"]
            if one["scope"] != "link"
        ),
        "routes": sorted(
            line.strip()
            for version in ("-4", "-6")
            for line in at.ip(version, "route", "show", "table", "all").splitlines()
            if "proto kernel" not in line and "fe80::" not in line
        ),
        "rules": [line for version in ("-4", "-6") for line in at.ip(version, "rule").splitlines()],
        "firewall": re.sub(r"packets \d+ bytes \d+", "", _said(at, "nft", "list", "ruleset")).splitlines(),
        "names": _said(at, "cat", "/etc/resolv.conf").splitlines(),
        "switches": _said(
            at, "sysctl",
            "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv6.conf.default.forwarding",
        ).splitlines(),
        "files": sorted(_said(at, "find", "/run/wireguard", "/run/pyfw", "!", "-type", "d").split()),
    }  # fmt: skip


def _said(at: Namespace, *command: str) -> str:
    return at.run(*command, check=False).stdout
