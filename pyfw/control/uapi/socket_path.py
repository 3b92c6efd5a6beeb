"""The paths of UAPI sockets, for daemons and clients."""

from pathlib import Path

DIRECTORY = Path("/var/run/wireguard")
"""As wireguard.com/xplatform requires."""


def path_of(name: str) -> Path:
    """Returns the path of an interface's socket."""
    return DIRECTORY / f"{name}.sock"
