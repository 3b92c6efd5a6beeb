"""Linux's own WireGuard as a peer: a guest under emulation, in the place of the lab's gateway.

    client ── outer ── [bridge in the gateway's namespace] ── guest: wg0, forwards
                            └── network behind it ── server

Needs the program `kernel-peer`, which boots a small Debian (PYFW_KERNEL_PEER names it; by default it is
looked for beside the checkout). The guest has the gateway's outer address; what leaves the tunnel
there goes back over the bridge to the server. One guest serves a network for as long as that
lives; its wg0 is made anew for every daemon.
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

from pyfw.demo.daemon import CONF, INTERFACE, Daemon, Implementation, plain, values
from pyfw.demo.namespace import Host, Namespace, Unavailable
from pyfw.demo.network import BEHIND_NETWORKS, OUTER, TUNNEL, Dual

_DEFAULT = Path(__file__).parents[2] / "shared" / "kernel-peer" / "kernel-peer"
# Where the gateway's namespace takes what the guest sends on to the server.
_BRIDGE = Dual("192.0.2.254", "2001:db8:1::fe")
_TAP = "kp0"
# Under emulation a guest boots in 3 to 4 s, more on a busy machine.
_BOOT_S = 60


def program() -> Path:
    """The program. Raises Unavailable with what is missing."""
    found = Path(os.environ.get("PYFW_KERNEL_PEER") or _DEFAULT)
    if not found.exists():
        raise Unavailable(f"no kernel-peer: {found} is not there; PYFW_KERNEL_PEER names one")
    if os.geteuid() != 0:
        raise Unavailable("kernel-peer needs root")
    return found


def build(directory: Path) -> Path:
    """Makes kernel and file system in `directory`, which then is an image. Raises Unavailable."""
    command = [str(program()), "build", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        raise Unavailable(f"kernel-peer build: {done.stderr.strip()}")
    return directory


class Guest(Host):
    """A running guest. Commands reach it over a serial port, whatever its network does."""

    def __init__(self, at: Namespace, image: Path) -> None:
        """Boots it on a bridge in the namespace `at`, whose outer addresses it takes over."""
        self.name = "guest"
        self._program = str(program())
        self._directory = image.with_name(f"{image.name}-{at.pid}")
        # One guest a directory; the image itself is shared.
        self._directory.mkdir()
        for file in ("kernel", "initramfs.gz"):
            (self._directory / file).hardlink_to(image / file)
        # The program wants a named namespace; its name ends with the machine's own /run.
        at.ip("netns", "attach", "own", str(at.pid))
        nobody = base64.b64encode(b"\x01" * 32).decode()
        self.process = at.start(
            *(self._program, "run", str(self._directory), "--netns", "own", "--tap", _TAP),
            *("--tap-ip", "169.254.0.1/32", "--peer-public-key", nobody, "--wg-ip", "10.0.0.1/32"),
            *("--guest-ip", f"{OUTER['gateway'].v4}/24,{OUTER['gateway'].v6}/64"),
            *("--allowed-ips", "10.0.0.2/32"),
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
        """Ends it."""
        self.process.stop()
        shutil.rmtree(self._directory)


def _bridge(at: Namespace) -> None:
    """Puts the guest's interface beside the namespace's outer one, and a router between."""
    at.ip("address", "flush", "dev", "outer")
    at.ip("address", "flush", "dev", _TAP)
    at.ip("link", "add", "bridge", "type", "bridge")
    for port in ("outer", _TAP):
        at.ip("link", "set", port, "master", "bridge")
    at.ip("address", "add", f"{_BRIDGE.v4}/24", "dev", "bridge")
    at.ip("address", "add", f"{_BRIDGE.v6}/64", "dev", "bridge", "nodad")
    at.ip("link", "set", "bridge", "up")
    for version in (4, 6):
        way = ["via", OUTER["gateway"].of(version), "dev", "bridge"]
        at.ip(f"-{version}", "route", "add", TUNNEL["client"].of(version), *way)


@dataclass(frozen=True)
class Kernel(Implementation):
    """How the kernel's WireGuard is started: an interface in a guest, which is booted where missing."""

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
        """Ends all guests."""
        for guest in self._guests.values():
            guest.close()
        self._guests.clear()


class KernelDaemon(Daemon):
    """The guest's wg0, which answers `wg` as any other."""

    at: Guest  # type: ignore[assignment] # only commands run there, which a Namespace does as well

    def __init__(self, at: Guest, implementation: Implementation, conf: str) -> None:
        self.at = at
        self.implementation = implementation
        self.process = at.process
        self._conf = conf

    def wait_until_up(self) -> Self:
        """Makes the interface."""
        self._remove()
        self.at.ip("link", "add", INTERFACE, "type", "wireguard")
        self.set_conf(self._conf)
        return self

    def set_conf(self, conf: str) -> None:
        """Gives it a configuration by `wg setconf`, and the interface its addresses and routes."""
        self.at.write(CONF, plain(conf))
        # One script: each command of its own takes a fifth of a second.
        script = [
            "set -e",
            f"wg setconf {INTERFACE} {CONF}",
            f"ip link set {INTERFACE} mtu {values(conf, 'MTU')[0]} up",
        ]
        for address in values(conf, "Address"):
            script.append(f"ip address replace {address} dev {INTERFACE}")
        for network in values(conf, "AllowedIPs"):
            family = "-6" if ":" in network else "-4"
            script.append(f"ip {family} route replace {network} dev {INTERFACE}")
        self.at.run("sh", "-c", "\n".join(script))

    def stop(self) -> int:
        """Takes the interface away; the guest stays."""
        self._remove()
        return 0

    def _remove(self) -> None:
        self.at.run("ip", "link", "del", INTERFACE, check=False)
