"""Installs the peers that pyfw is measured against, from their registries into build/peers.

wireguard-go, gotatun and boringtun are the newest of their registries (Debian's wireguard-go is from 2022 and
has no GSO). Tailscale's fork has no releases and is pinned to a commit. If a peer cannot be fetched, the one
installed before is used; without one, the peer is left out with a reason.

    python -m bench.peers      installs all of them and prints their versions
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lab import Implementation
from lab.peers import PEERS as _DIRECTORY
from lab.peers import boringtun, gotatun, wireguard_go


@dataclass(frozen=True)
class InstalledPeer:
    """An installed daemon and its version."""

    implementation: Implementation
    version: str


class PeerUnavailable(Exception):
    """A peer cannot be installed; the message says why."""


@dataclass(frozen=True)
class GoModule:
    """A daemon from `go install`, with wireguard-go's command line."""

    name: str
    module: str
    version: str

    def install(self) -> InstalledPeer:
        """Installs it. Raises PeerUnavailable."""
        # Go names the command after the last part of the module's path.
        command = _DIRECTORY / self.module.rpartition("/")[2]
        target = f"{self.module}@{self.version}"
        _fetch(("go", "install", target), command, {"GOBIN": str(_DIRECTORY)})
        output = subprocess.run(
            ["go", "version", "-m", str(command)], capture_output=True, text=True, check=False
        ).stdout
        implementation = replace(wireguard_go(str(command)), name=self.name)
        return InstalledPeer(implementation, go_version(output, self.module))


@dataclass(frozen=True)
class Crate:
    """A daemon from `cargo install`."""

    name: str
    crate: str
    command: str
    implementation: Callable[[], Implementation]

    def install(self) -> InstalledPeer:
        """Installs it. Raises PeerUnavailable."""
        command = _DIRECTORY / "bin" / self.command
        root = ("--quiet", "--locked", "--root", str(_DIRECTORY))
        _fetch(("cargo", "install", *root, self.crate), command, {})
        output = subprocess.run(
            [str(command), "--version"], capture_output=True, text=True, check=False
        ).stdout
        return InstalledPeer(self.implementation(), printed_version(output))


PEERS: dict[str, GoModule | Crate] = {
    peer.name: peer
    for peer in (
        GoModule("wireguard-go", "golang.zx2c4.com/wireguard", "latest"),
        GoModule(
            "tailscale",
            "github.com/tailscale/wireguard-go",
            "v0.0.0-20260928213032-417aef361226",
        ),
        Crate("gotatun", "gotatun-cli", "gotatun", gotatun),
        Crate("boringtun", "boringtun-cli", "boringtun-cli", boringtun),
    )
}


def install(names: Sequence[str]) -> Iterator[tuple[str, InstalledPeer | PeerUnavailable]]:
    """Yields each peer of these names, or why it is unavailable."""
    for name in names:
        try:
            yield name, PEERS[name].install()
        except PeerUnavailable as reason:
            yield name, reason


def go_version(output: str, module: str) -> str:
    """Returns the module version from the output of `go version -m`. Raises PeerUnavailable."""
    for line in output.splitlines():
        # "mod", the module's path, its version, its hash.
        fields = line.split()
        if fields[:2] == ["mod", module]:
            return fields[2]
    raise PeerUnavailable(f"the installed binary is not {module}")


def printed_version(output: str) -> str:
    """Returns the version in the output of `--version`. Raises PeerUnavailable."""
    if found := re.search(r"\d+(\.\d+)+\S*", output):
        return found[0]
    raise PeerUnavailable(f"no version in the output of --version: {output.strip()!r}")


def _fetch(command: tuple[str, ...], installed: Path, environment: dict[str, str]) -> None:
    if shutil.which(command[0]) is None:
        reason = f"{command[0]}, which builds it, is not installed"
        failed = True
    else:
        if not installed.exists():
            print(f"bench: {' '.join(command)}: takes some minutes, once", file=sys.stderr)
        done = subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
        )
        failed = done.returncode != 0
        reason = f"{' '.join(command)}: {_last_line(done.stderr)}"
    if failed and not installed.exists():
        raise PeerUnavailable(reason)
    if failed:
        print(f"bench: {reason}; using the one in build/peers", file=sys.stderr)


def _last_line(output: str) -> str:
    lines = output.strip().splitlines()
    return lines[-1].strip() if lines else "failed without output"


def main() -> None:
    """Installs all peers."""
    for name, peer in install(list(PEERS)):
        if isinstance(peer, PeerUnavailable):
            print(f"{name:<13} left out: {peer}")
        else:
            print(f"{name:<13} {peer.version}  {peer.implementation.command[0]}")


if __name__ == "__main__":
    main()
