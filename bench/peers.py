"""The peers that pyfw is measured against, installed through their registries into build/peers.

In: nothing. Out: each peer as the lab starts it, with the version that it says it is; or the reason why
it is left out. wireguard-go, gotatun and boringtun are the newest of their registries (Debian's
wireguard-go is from 2022, without GSO, and does not count); Tailscale's fork has no releases and is
pinned to a commit. Where nothing can be fetched, what was installed before is taken.

    python -m bench.peers      installs them all and says what they are
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lab import Implementation, wireguard_go
from pyfw.demo.pair import INTERFACE

_DIRECTORY = Path(__file__).parent.parent / "build" / "peers"


@dataclass(frozen=True)
class Peer:
    """An installed daemon and the version it is."""

    implementation: Implementation
    version: str


class LeftOut(Exception):
    """A peer cannot be had here; the text says why."""


@dataclass(frozen=True)
class GoModule:
    """A daemon that `go install` makes, with wireguard-go's command line."""

    name: str
    module: str
    version: str

    def install(self) -> Peer:
        """Raises LeftOut."""
        # Go names the command after the last part of the module's path.
        command = _DIRECTORY / self.module.rpartition("/")[2]
        target = f"{self.module}@{self.version}"
        _fetch(("go", "install", target), command, {"GOBIN": str(_DIRECTORY)})
        told = subprocess.run(
            ["go", "version", "-m", str(command)], capture_output=True, text=True, check=False
        ).stdout
        implementation = replace(wireguard_go(str(command)), name=self.name)
        return Peer(implementation, go_version(told, self.module))


@dataclass(frozen=True)
class Crate:
    """A daemon that `cargo install` makes."""

    name: str
    crate: str
    command: str
    options: tuple[str, ...] = ("--foreground", "--disable-drop-privileges")

    def install(self) -> Peer:
        """Raises LeftOut."""
        command = _DIRECTORY / "bin" / self.command
        root = ("--quiet", "--locked", "--root", str(_DIRECTORY))
        _fetch(("cargo", "install", *root, self.crate), command, {})
        told = subprocess.run(
            [str(command), "--version"], capture_output=True, text=True, check=False
        ).stdout
        run = (str(command), *self.options, INTERFACE)
        return Peer(Implementation(self.name, run), printed_version(told))


PEERS: dict[str, GoModule | Crate] = {
    peer.name: peer
    for peer in (
        GoModule("wireguard-go", "golang.zx2c4.com/wireguard", "latest"),
        GoModule(
            "tailscale",
            "github.com/tailscale/wireguard-go",
            "v0.0.0-20260928213032-417aef361226",
        ),
        Crate("gotatun", "gotatun-cli", "gotatun"),
        Crate("boringtun", "boringtun-cli", "boringtun-cli"),
    )
}


def install(names: Sequence[str]) -> Iterator[tuple[str, Peer | LeftOut]]:
    """Each peer of these names, or why it is left out."""
    for name in names:
        try:
            yield name, PEERS[name].install()
        except LeftOut as reason:
            yield name, reason


def go_version(told: str, module: str) -> str:
    """The module version that Go wrote into a binary (`go version -m`). Raises LeftOut."""
    for line in told.splitlines():
        # "mod", the module's path, its version, its hash.
        fields = line.split()
        if fields[:2] == ["mod", module]:
            return fields[2]
    raise LeftOut(f"the binary is not {module}")


def printed_version(told: str) -> str:
    """The version in what a command prints of itself. Raises LeftOut."""
    if found := re.search(r"\d+(\.\d+)+\S*", told):
        return found[0]
    raise LeftOut(f"it does not say which version it is: {told.strip()!r}")


def _fetch(command: tuple[str, ...], made: Path, environment: dict[str, str]) -> None:
    if shutil.which(command[0]) is None:
        reason = f"it is built with {command[0]}, and there is no {command[0]} here"
        failed = True
    else:
        if not made.exists():
            print(f"bench: {' '.join(command)}: some minutes, once", file=sys.stderr)
        done = subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
        )
        failed = done.returncode != 0
        reason = f"{' '.join(command)}: {_last_line(done.stderr)}"
    if failed and not made.exists():
        raise LeftOut(reason)
    if failed:
        print(f"bench: {reason}; the one in build/peers is taken", file=sys.stderr)


def _last_line(words: str) -> str:
    lines = words.strip().splitlines()
    return lines[-1].strip() if lines else "failed without a word"


def main() -> None:
    """Installs all."""
    for name, peer in install(list(PEERS)):
        if isinstance(peer, LeftOut):
            print(f"{name:<13} left out: {peer}")
        else:
            print(f"{name:<13} {peer.version}  {peer.implementation.command[0]}")


if __name__ == "__main__":
    main()
