"""The state of a machine that a tunnel may change, as one comparable value."""

import json
import re

from lab import Namespace


def host_state(at: Namespace) -> dict[str, list[str]]:
    """Returns addresses, routes, rules, firewall, name servers, sysctls and files, in a fixed order.

    Link-local addresses and their routes are left out, as the kernel adds them with a delay.
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
        "firewall": re.sub(
            r"packets \d+ bytes \d+", "", _output(at, "nft", "list", "ruleset")
        ).splitlines(),
        "name servers": _output(at, "cat", "/etc/resolv.conf").splitlines(),
        "sysctls": _output(
            at,
            "sysctl",
            "net.ipv4.ip_forward",
            "net.ipv6.conf.all.forwarding",
            "net.ipv6.conf.default.forwarding",
        ).splitlines(),
        "files": sorted(
            _output(at, "find", "/run/wireguard", "/run/pyfw", "!", "-type", "d").split()
        ),
    }


def _output(at: Namespace, *command: str) -> str:
    return at.run(*command, check=False).stdout
