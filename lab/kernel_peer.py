"""Linux's own WireGuard as a peer: a virtual machine in place of the network's gateway.

    client ── outer ── [bridge in the gateway's namespace] ── guest: wg0, forwards
                            └── network behind it ── server

Needs the program `kernel-peer`, which boots a small Debian: PYFW_KERNEL_PEER names it, by default it is
expected beside the checkout. The guest has the gateway's outer address; packets that leave the tunnel there
return over the bridge to the server. One guest serves a network for the network's lifetime; its wg0 is
created anew for every daemon.
"""

import base64
import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from lab.peers import Peer
from pyfw.demo.daemon import CONF, INTERFACE, Daemon, Implementation, conf_values, setconf_text
from pyfw.demo.namespace import Host, Namespace, Unavailable
from pyfw.demo.network import BEHIND_NETWORKS, OUTER, TUNNEL, Addresses

_DEFAULT = Path(__file__).parents[2] / "shared" / "kernel-peer" / "kernel-peer"
# The bridge's addresses, to which the guest sends packets for the server.
_BRIDGE = Addresses("192.0.2.254", "2001:db8:1::fe")
_TAP = "kp0"
# Under emulation a guest boots in 3 to 4 s, more on a busy machine.
_BOOT_S = 60


def program() -> Path:
    """Returns the path of kernel-peer. Raises Unavailable."""
    found = Path(os.environ.get("PYFW_KERNEL_PEER") or _DEFAULT)
    if not found.exists():
        raise Unavailable(f"no kernel-peer at {found}: set PYFW_KERNEL_PEER to its path")
    if os.geteuid() != 0:
        raise Unavailable("kernel-peer needs root")
    return found


def build(directory: Path) -> Path:
    """Builds the image, a kernel and a file system, in `directory`. Raises Unavailable."""
    command = [str(program()), "build", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        raise Unavailable(f"kernel-peer build: {done.stderr.strip()}")
    return directory


class Guest(Host):
    """A running guest. Commands go over a serial port and do not depend on its network."""

    def __init__(self, at: Namespace, image: Path) -> None:
        """Boots it on a bridge in the namespace `at` and moves the outer addresses into it."""
        self.name = "guest"
        self._program = str(program())
        self._directory = image.with_name(f"{image.name}-{at.pid}")
        # Each guest needs a folder of its own; they share the image.
        self._directory.mkdir()
        for file in ("kernel", "initramfs.gz"):
            (self._directory / file).hardlink_to(image / file)
        # The program takes a named namespace; the name is in the machine's own /run and ends with it.
        at.ip("netns", "attach", "own", str(at.pid))
        unused_key = base64.b64encode(b"\x01" * 32).decode()
        self.process = at.start(
            *(self._program, "run", str(self._directory), "--netns", "own", "--tap", _TAP),
            *("--tap-ip", "169.254.0.1/32", "--peer-public-key", unused_key),
            *("--wg-ip", "10.0.0.1/32", "--allowed-ips", "10.0.0.2/32"),
            *("--guest-ip", f"{OUTER['gateway'].v4}/24,{OUTER['gateway'].v6}/64"),
        )
        self.process.wait_for("ready after", _BOOT_S)
        _bridge(at)
        self.sysctl("net.ipv4.ip_forward", "1")
        self.sysctl("net.ipv6.conf.all.forwarding", "1")
        for version, behind in (("-4", BEHIND_NETWORKS.v4), ("-6", BEHIND_NETWORKS.v6)):
            self.ip(version, "route", "add", behind, "via", _BRIDGE.of(int(version[1])))

    def _inside(self, command: Sequence[str], stdin: str) -> tuple[list[str], str | None]:
        if stdin:
            text = base64.b64encode(stdin.encode()).decode()
            command = ("sh", "-c", f"echo {text} | base64 -d | {shlex.join(command)}")
        return [self._program, "exec", str(self._directory), "--", *command], None

    def close(self) -> None:
        """Stops the guest."""
        self.process.stop()
        shutil.rmtree(self._directory)


def _bridge(at: Namespace) -> None:
    """Bridges the guest's interface with the namespace's outer one; the bridge also routes."""
    at.ip("address", "flush", "dev", "outer")
    at.ip("address", "flush", "dev", _TAP)
    at.ip("link", "add", "bridge", "type", "bridge")
    for port in ("outer", _TAP):
        at.ip("link", "set", port, "master", "bridge")
    at.ip("address", "add", f"{_BRIDGE.v4}/24", "dev", "bridge")
    at.ip("address", "add", f"{_BRIDGE.v6}/64", "dev", "bridge", "nodad")
    at.ip("link", "set", "bridge", "up")
    for version in (4, 6):
        via = ["via", OUTER["gateway"].of(version), "dev", "bridge"]
        at.ip(f"-{version}", "route", "add", TUNNEL["client"].of(version), *via)


@dataclass(frozen=True)
class Kernel(Peer):
    """How to start the kernel's WireGuard: an interface in a guest, booted if the network has none."""

    name: str = "kernel"
    command: tuple[str, ...] = ()
    image: Path = Path()
    _guests: dict[int, Guest] = field(default_factory=dict)

    def start(self, at: Namespace, conf: str) -> "KernelDaemon":
        """Starts it in the guest of a machine."""
        if at.pid not in self._guests:
            self._guests[at.pid] = Guest(at, self.image)
        return KernelDaemon(self._guests[at.pid], self, conf)

    def close(self) -> None:
        """Stops all guests."""
        for guest in self._guests.values():
            guest.close()
        self._guests.clear()


class KernelDaemon(Daemon):
    """The guest's wg0, which answers `wg` like any daemon."""

    at: Guest  # type: ignore[assignment] # it only runs commands, as a Namespace does

    def __init__(self, at: Guest, implementation: Implementation, conf: str) -> None:
        self.at = at
        self.implementation = implementation
        self.process = at.process
        self._conf = conf

    def wait_until_up(self) -> Self:
        """Creates the interface."""
        self._delete_interface()
        self.at.ip("link", "add", INTERFACE, "type", "wireguard")
        self.set_conf(self._conf)
        return self

    def set_conf(self, conf: str) -> None:
        """Applies a wg-quick file: `wg setconf`, then the interface's addresses and routes."""
        self.at.write(CONF, setconf_text(conf))
        # One script, as each command over the serial port takes a fifth of a second.
        script = [
            "set -e",
            f"wg setconf {INTERFACE} {CONF}",
            f"ip link set {INTERFACE} mtu {conf_values(conf, 'MTU')[0]} up",
        ]
        for address in conf_values(conf, "Address"):
            script.append(f"ip address replace {address} dev {INTERFACE}")
        for network in conf_values(conf, "AllowedIPs"):
            family = "-6" if ":" in network else "-4"
            script.append(f"ip {family} route replace {network} dev {INTERFACE}")
        self.at.run("sh", "-c", "\n".join(script))

    def stop(self) -> int:
        """Deletes the interface; the guest stays."""
        self._delete_interface()
        return 0

    def _delete_interface(self) -> None:
        self.at.run("ip", "link", "del", INTERFACE, check=False)
