"""Where the UAPI sockets are: what a daemon and who asks it agree on, and cheap to import."""

from pathlib import Path

DIRECTORY = Path("/var/run/wireguard")
"""As wireguard.com/xplatform wants it."""


def path_of(name: str) -> Path:
    """Where an interface's socket is."""
    return DIRECTORY / f"{name}.sock"
