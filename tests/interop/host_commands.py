"""Runs wg-quick and pyfw up in a machine of the lab, and compares what they change.

The machine gets an /etc/resolv.conf and a PATH of its own: nothing of the host is touched, and there is no
resolvconf unless a test installs one.
"""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab import Namespace, Process
from pyfw.demo.daemon import details
from pyfw.demo.network import BEHIND_NETWORKS, OUTER, TUNNEL
from pyfw.demo.pair import Keys

BIN = Path(sys.executable).parent
CONF = "/run/wg0.conf"
PEER = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
_PRIVATE = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

# Parts that are random, or change with time.
_RANDOM = (r"fe80::[0-9a-f:]+", r"^\d+: ", r"@if\d+", r"link-netnsid \d+", r"\bsec\b")
# What a tunnel may change and must restore.
_STATE = {
    "links": "ip -o link",
    "addresses": "ip -o address",
    "routes": "ip -4 route show table all; ip -6 route show table all",
    "rules": "ip -4 rule; ip -6 rule",
    "nftables": "nft list ruleset",
    "dns": "cat /etc/resolv.conf",
    "records": "find /run/pyfw /run/wireguard ! -type d",
}


class HostCommands:
    """Runs commands in one machine."""

    def __init__(self, at: Namespace) -> None:
        self.at = at
        at.run("mkdir", "-p", "/run/bin", "/run/pyfw")
        at.write("/run/resolv.conf", "nameserver 192.0.2.53\nsearch before.example\n")
        at.run("mount", "--bind", "/run/resolv.conf", "/etc/resolv.conf")
        # Duplicate address detection of links that have just come up.
        self.wait_for("! ip -o address | grep -q tentative")

    def pyfw(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs `pyfw ARGUMENTS`."""
        return self.at.run(*self._environment(), str(BIN / "pyfw"), *arguments, check=check)

    def wg_quick(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs `wg-quick ARGUMENTS` with pyfw-wg as its daemon."""
        return self.at.run(*self._environment(), "wg-quick", *arguments, check=check)

    def shell(self, script: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a bash script."""
        return self.at.run(*self._environment(), "bash", "-c", script, check=check)

    def wait_for(self, condition: str) -> None:
        """Waits until a shell command succeeds."""
        loop = f"for i in $(seq 500); do {condition} && exit; sleep .02; done; exit 1"
        self.at.run("sh", "-c", loop)

    def start(self, *arguments: str) -> Process:
        """Starts `pyfw ARGUMENTS`."""
        return self.at.start(*self._environment(), str(BIN / "pyfw"), *arguments)

    def install(self, name: str, script: str) -> None:
        """Puts a shell script on the PATH."""
        self.at.run("sh", "-c", 'cat > "$0"; chmod 755 "$0"', f"/run/bin/{name}", stdin=script)

    def read(self, path: str) -> str:
        """Returns a file's content; empty if there is none."""
        return self.at.run("cat", path, check=False).stdout

    def state(self) -> dict[str, str]:
        """Returns what a tunnel may change and must restore."""
        return dict(zip(_STATE, self._outputs(*_STATE.values()), strict=True))

    def interface_state(self) -> dict[str, Any]:
        """Returns the set-up of wg0 in a form that is comparable between wg-quick and pyfw."""
        addresses, link, routes, rules, fwmark, valid_mark = self._outputs(
            "ip -brief address show dev wg0",
            "ip -j link show dev wg0",
            _STATE["routes"],
            _STATE["rules"],
            "wg show wg0 fwmark",
            "cat /proc/sys/net/ipv4/conf/all/src_valid_mark",
        )
        (about,) = json.loads(link)
        return {
            "addresses": addresses.split(),
            "mtu": about["mtu"],
            "up": "UP" in about["flags"],
            "routes": sorted(line.strip() for line in routes.splitlines() if "dev wg0" in line),
            "rules": rules.splitlines(),
            "fwmark": fwmark,
            "valid_mark": valid_mark,
        }

    def pid(self) -> int:
        """Returns the process id of wg0's daemon."""
        return int(details(self.at, "wg0")["pid"])

    def end(self) -> None:
        """Ends every daemon, and removes installed commands."""
        self.at.run("sh", "-c", "rm -f /run/wireguard/*.sock /run/bin/*")
        self.wait_for("! ip -o link | grep -q wg")

    def _environment(self) -> Sequence[str]:
        path = f"/run/bin:{BIN}:/usr/sbin:/usr/bin:/sbin:/bin"
        return ("env", f"PATH={path}", "WG_QUICK_USERSPACE_IMPLEMENTATION=pyfw-wg")

    def _outputs(self, *commands: str) -> list[str]:
        """Returns the output of each command, with random parts masked. Uses one process for all."""
        script = "; printf '\\0'; ".join(commands)
        outputs = self.at.run("sh", "-c", script, check=False).stdout.split("\0")
        for pattern in _RANDOM:
            outputs = [re.sub(pattern, "*", text, flags=re.MULTILINE) for text in outputs]
        return outputs


def conf(
    interface: str = "", peer: str = "", *, private: str = _PRIVATE, public: str = PEER
) -> str:
    """Returns a file with one peer; the given lines come last in their sections."""
    return (
        f"[Interface]\nPrivateKey = {private}\n{interface}\n[Peer]\nPublicKey = {public}\n{peer}\n"
    )


def pair_confs(
    keys: tuple[Keys, Keys], allowed_ips: str | None = None, more: str = ""
) -> tuple[str, str]:
    """Returns the files of client and gateway. `more` goes into the client's [Interface].

    allowed_ips: of the gateway; by default the gateway and the network behind it.
    """
    client, gateway = keys
    default = (
        f"{TUNNEL['gateway'].v4}/32, {TUNNEL['gateway'].v6}/128, "
        f"{BEHIND_NETWORKS.v4}, {BEHIND_NETWORKS.v6}"
    )
    client_conf = conf(
        f"Address = {TUNNEL['client'].v4}/24, {TUNNEL['client'].v6}/64\n{more}",
        f"AllowedIPs = {allowed_ips or default}\nEndpoint = {OUTER['gateway'].v4}:51820",
        private=client.private,
        public=gateway.public,
    )
    gateway_conf = conf(
        f"Address = {TUNNEL['gateway'].v4}/24, {TUNNEL['gateway'].v6}/64\n"
        "ListenPort = 51820\nMTU = 1420",
        f"AllowedIPs = {TUNNEL['client'].v4}/32, {TUNNEL['client'].v6}/128",
        private=gateway.private,
        public=client.public,
    )
    return client_conf, gateway_conf
