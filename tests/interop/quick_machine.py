"""A lab's machine as wg-quick and pyfw up change it: their commands, and what there is before and after.

The machine gets an /etc/resolv.conf and a PATH of its own: nothing of the host is touched, and no resolvconf
is met unless a test puts one there.
"""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab import Namespace, Process
from pyfw.demo.network import BEHIND_NETWORKS, OUTER, TUNNEL
from pyfw.demo.pair import Keys

BIN = Path(sys.executable).parent
CONF = "/run/wg0.conf"
PEER = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
_PRIVATE = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

# Chosen by chance, or told by time.
_RANDOM = (r"fe80::[0-9a-f:]+", r"^\d+: ", r"@if\d+", r"link-netnsid \d+", r"\bsec\b")


class QuickMachine:
    """Commands for one machine."""

    def __init__(self, at: Namespace) -> None:
        self.at = at
        at.run("mkdir", "-p", "/run/bin", "/run/pyfw")
        at.write("/run/resolv.conf", "nameserver 192.0.2.53\nsearch before.example\n")
        at.run("mount", "--bind", "/run/resolv.conf", "/etc/resolv.conf")
        # Links that came up just now have addresses still to be tested: not our doing.
        self.wait_for("! ip -o address | grep -q tentative")

    def pyfw(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`pyfw ARGUMENTS`."""
        return self.at.run(*self._environment(), str(BIN / "pyfw"), *arguments, check=check)

    def wg_quick(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`wg-quick ARGUMENTS`, with pyfw-wg for its daemon."""
        return self.at.run(*self._environment(), "wg-quick", *arguments, check=check)

    def shell(self, script: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a line of bash."""
        return self.at.run(*self._environment(), "bash", "-c", script, check=check)

    def wait_for(self, condition: str) -> None:
        """Until a shell command succeeds."""
        again = f"for i in $(seq 500); do {condition} && exit; sleep .02; done; exit 1"
        self.at.run("sh", "-c", again)

    def start(self, *arguments: str) -> Process:
        """`pyfw ARGUMENTS`, as a process."""
        return self.at.start(*self._environment(), str(BIN / "pyfw"), *arguments)

    def command(self, name: str, script: str) -> None:
        """Puts a shell script on the PATH."""
        self.at.run("sh", "-c", 'cat > "$0"; chmod 755 "$0"', f"/run/bin/{name}", stdin=script)

    def read(self, path: str) -> str:
        """A file's content; empty where there is none."""
        return self.at.run("cat", path, check=False).stdout

    def state(self) -> dict[str, str]:
        """All that a tunnel may change and must put back: links to name servers."""
        commands = {
            "links": "ip -o link",
            "addresses": "ip -o address",
            "routes": "ip -4 route show table all; ip -6 route show table all",
            "rules": "ip -4 rule; ip -6 rule",
            "nftables": "nft list ruleset",
            "dns": "cat /etc/resolv.conf",
            "records": "find /run/pyfw /run/wireguard ! -type d",
        }
        return {what: self._told(command) for what, command in commands.items()}

    def surroundings(self) -> dict[str, Any]:
        """What surrounds wg0, in a form in which wg-quick's and ours can be compared."""
        routes = self._told("ip -4 route show table all; ip -6 route show table all").splitlines()
        rules = self._told("ip -4 rule; ip -6 rule").splitlines()
        link = json.loads(self.at.ip("-j", "link", "show", "dev", "wg0"))[0]
        return {
            "addresses": self._told("ip -brief address show dev wg0").split(),
            "mtu": link["mtu"],
            "up": "UP" in link["flags"],
            "routes": sorted(route.strip() for route in routes if "dev wg0" in route),
            "rules": rules,
            "fwmark": self.at.run("wg", "show", "wg0", "fwmark").stdout,
            "valid_mark": self.read("/proc/sys/net/ipv4/conf/all/src_valid_mark"),
        }

    def pid(self) -> int:
        """The process id of wg0's daemon."""
        return int(json.loads(self.pyfw("show", "wg0", "--json").stdout)["pid"])

    def end(self) -> None:
        """Ends every daemon, however it was started."""
        self.at.run("sh", "-c", "rm -f /run/wireguard/*.sock /run/bin/*")
        self.wait_for("! ip -o link | grep -q wg")

    def _environment(self) -> Sequence[str]:
        path = f"/run/bin:{BIN}:/usr/sbin:/usr/bin:/sbin:/bin"
        return ("env", f"PATH={path}", "WG_QUICK_USERSPACE_IMPLEMENTATION=pyfw-wg")

    def _told(self, command: str) -> str:
        told = self.at.run("sh", "-c", command, check=False).stdout
        for pattern in _RANDOM:
            told = re.sub(pattern, "*", told, flags=re.MULTILINE)
        return told


def conf(
    interface: str = "", peer: str = "", *, private: str = _PRIVATE, public: str = PEER
) -> str:
    """A file with one peer; the given lines come last in their sections."""
    return (
        f"[Interface]\nPrivateKey = {private}\n{interface}\n[Peer]\nPublicKey = {public}\n{peer}\n"
    )


def ends(keys: tuple[Keys, Keys], allowed: str | None = None, more: str = "") -> tuple[str, str]:
    """Files of client and gateway that can talk; `more` goes into the client's [Interface].

    allowed: what the client sends into the tunnel; without, the gateway and what is behind it.
    """
    client, gateway = keys
    usual = (
        f"{TUNNEL['gateway'].v4}/32, {TUNNEL['gateway'].v6}/128, "
        f"{BEHIND_NETWORKS.v4}, {BEHIND_NETWORKS.v6}"
    )
    ours = conf(
        f"Address = {TUNNEL['client'].v4}/24, {TUNNEL['client'].v6}/64\n{more}",
        f"AllowedIPs = {allowed or usual}\nEndpoint = {OUTER['gateway'].v4}:51820",
        private=client.private,
        public=gateway.public,
    )
    theirs = conf(
        f"Address = {TUNNEL['gateway'].v4}/24, {TUNNEL['gateway'].v6}/64\n"
        "ListenPort = 51820\nMTU = 1420",
        f"AllowedIPs = {TUNNEL['client'].v4}/32, {TUNNEL['client'].v6}/128",
        private=gateway.private,
        public=client.public,
    )
    return ours, theirs
