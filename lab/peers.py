"""Other WireGuard daemons: Debian's from PATH, the newest from build/peers (`make interop-peers`)."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from pyfw.demo.daemon import INTERFACE, Implementation
from pyfw.demo.namespace import Unavailable

PEERS = Path(__file__).parents[1] / "build" / "peers"
"""The folder that `make interop-peers` fills."""


@dataclass(frozen=True)
class Peer(Implementation):
    """Another implementation, and where it differs from the reference."""

    # Whether `wg setconf` can change a configuration that it has set before.
    accepts_changes: bool = True
    # Whether `wg show` counts keepalives as received bytes.
    counts_keepalives: bool = True


def wireguard_go(path: str | None = None) -> Peer:
    """Returns the reference userspace daemon, by default the one on PATH. Raises Unavailable."""
    command = path or shutil.which("wireguard-go")
    if command is None:
        raise Unavailable("wireguard-go is not installed")
    # Without this the daemon refuses to run on a kernel that has WireGuard.
    environment = {"WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD": "1"}
    return Peer("wireguard-go", (command, "-f", INTERFACE), environment=environment)


def newest_wireguard_go() -> Peer:
    """Returns the newest release of wireguard-go. Raises Unavailable."""
    # Go names the command after the last part of the module path.
    return replace(wireguard_go(_built(PEERS / "wireguard")), name="newest wireguard-go")


def boringtun() -> Peer:
    """Returns Cloudflare's daemon, written in Rust. Raises Unavailable."""
    command = _built(PEERS / "bin" / "boringtun-cli")
    # It would drop its privileges to the user who logged in; a namespace has none.
    start = (command, "-f", "--disable-drop-privileges", INTERFACE)
    # 0.7.1 refuses to update a peer (EPROTO).
    return Peer("boringtun", start, accepts_changes=False, counts_keepalives=False)


def gotatun() -> Peer:
    """Returns Mullvad's daemon, written in Rust. Raises Unavailable."""
    command = _built(PEERS / "bin" / "gotatun")
    start = (command, "-f", "--disable-drop-privileges", INTERFACE)
    # 0.10.2 sometimes exits when its private key is replaced ("channel closed").
    return Peer("gotatun", start, accepts_changes=False, counts_keepalives=False)


def _built(command: Path) -> str:
    if not command.exists():
        raise Unavailable(f"{command.name} is not in build/peers: make interop-peers")
    return str(command)
