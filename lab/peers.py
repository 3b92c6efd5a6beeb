"""WireGuard daemons of others: Debian's on PATH, the newest in build/peers (`make interop-peers`)."""

import shutil
from dataclasses import replace
from pathlib import Path

from pyfw.demo.daemon import INTERFACE, Implementation
from pyfw.demo.namespace import Unavailable

PEERS = Path(__file__).parents[1] / "build" / "peers"
"""What `make interop-peers` fills, in the checkout that this file is part of."""


def wireguard_go(path: str | None = None) -> Implementation:
    """The reference userspace daemon; by default the one on PATH. Raises Unavailable."""
    command = path or shutil.which("wireguard-go")
    if command is None:
        raise Unavailable("wireguard-go is not installed")
    # Without this the daemon refuses to serve where the kernel has WireGuard of its own.
    environment = {"WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD": "1"}
    return Implementation("wireguard-go", (command, "-f", INTERFACE), environment=environment)


def newest_wireguard_go() -> Implementation:
    """The newest release of wireguard-go's module. Raises Unavailable."""
    # Go names the command after the last part of the module path.
    return replace(wireguard_go(_built(PEERS / "wireguard")), name="newest wireguard-go")


def boringtun() -> Implementation:
    """Cloudflare's, in Rust. Raises Unavailable."""
    command = _built(PEERS / "bin" / "boringtun-cli")
    # It would become the user who logged in; in a namespace there is none.
    start = (command, "-f", "--disable-drop-privileges", INTERFACE)
    # 0.7.1 refuses to update a peer (EPROTO).
    return Implementation("boringtun", start, takes_changes=False, counts_keepalives=False)


def gotatun() -> Implementation:
    """Mullvad's, in Rust. Raises Unavailable."""
    command = _built(PEERS / "bin" / "gotatun")
    start = (command, "-f", "--disable-drop-privileges", INTERFACE)
    # 0.10.2 sometimes ends when its private key is replaced ("channel closed").
    return Implementation("gotatun", start, takes_changes=False, counts_keepalives=False)


def _built(command: Path) -> str:
    if not command.exists():
        raise Unavailable(f"{command.name} is not in build/peers: make interop-peers")
    return str(command)
