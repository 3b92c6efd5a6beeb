"""The peers that pyfw is measured against, installed into build/peers.

wireguard-go is the newest release of its Go module: Debian's is from 2022, without GSO, and does not
count.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_MODULE = "golang.zx2c4.com/wireguard"
_DIRECTORY = Path(__file__).parent.parent / "build" / "peers"


@dataclass(frozen=True)
class Peer:
    """An installed daemon and the version it is."""

    path: str
    version: str


def wireguard_go() -> Peer:
    """Installs wireguard-go if need be. Raises SystemExit with what is missing."""
    if shutil.which("go") is None:
        sys.exit(
            "bench: wireguard-go is built with Go, and there is no go here (apt install golang)"
        )
    # Go names the command after the last part of the module path.
    command = _DIRECTORY / "wireguard"
    environment = {**os.environ, "GOBIN": str(_DIRECTORY)}
    built = subprocess.run(
        ["go", "install", f"{_MODULE}@latest"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode != 0:
        if not command.exists():
            sys.exit(f"bench: go install {_MODULE}@latest: {built.stderr.strip()}")
        print("bench: no newer wireguard-go could be fetched; the one in build/peers is used")
    return Peer(str(command), version(command))


def version(command: Path) -> str:
    """The module version that Go wrote into the binary."""
    told = subprocess.run(
        ["go", "version", "-m", str(command)], capture_output=True, text=True, check=True
    ).stdout
    for line in told.splitlines():
        # "mod", the module's path, its version, its hash.
        fields = line.split()
        if fields[:2] == ["mod", _MODULE]:
            return fields[2]
    sys.exit(f"bench: {command} is not {_MODULE}")


if __name__ == "__main__":
    peer = wireguard_go()
    print(f"{peer.path} {peer.version}")
