"""Who takes part: pyfw with each cipher, the floors of the machine, the peers.

In: the names that were asked for. Out: candidates in the order of the tables, and who is left out with
the reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bench import peers
from bench.peers import LeftOut
from lab import Implementation, bare, pyfw_run, without_cipher

OURS, FLOOR, PEER = "ours", "floor", "peer"
_TITLES = {"tailscale": "Tailscale's fork"}


@dataclass(frozen=True)
class Candidate:
    """One that is measured."""

    name: str
    # OURS, FLOOR or PEER.
    kind: str
    title: str
    version: str
    implementation: Implementation


def ours(settings: str, version: str, ciphers: Sequence[str]) -> list[Candidate]:
    """Pyfw as it is by default, and with ring beside it where that is not the default.

    settings: lines for NAME.pyfw.toml, of both. ciphers: those that work here, the default first.
    """
    best, *others = [cipher.split()[0] for cipher in ciphers]
    found = [Candidate("pyfw", OURS, f"pyfw ({best})", version, pyfw_run(settings))]
    if "ring" in others:
        with_ring = pyfw_run(f'cipher = "ring"\n{settings}')
        found.append(Candidate("pyfw-ring", OURS, "pyfw (ring)", version, with_ring))
    return found


def floors(version: str) -> list[Candidate]:
    """What the machine allows: pyfw with its cipher off, TUN to UDP alone."""
    return [
        Candidate("cipher-off", FLOOR, "pyfw, cipher off", version, without_cipher()),
        Candidate("bare", FLOOR, "TUN to UDP alone", version, bare()),
    ]


def foreign(names: Sequence[str]) -> tuple[list[Candidate], dict[str, str]]:
    """The peers of these names, installed; and why others are left out."""
    found, left_out = [], {}
    for name, peer in peers.install(names):
        if isinstance(peer, LeftOut):
            left_out[name] = str(peer)
        else:
            title = _TITLES.get(name, name)
            found.append(Candidate(name, PEER, title, peer.version, peer.implementation))
    return found, left_out
