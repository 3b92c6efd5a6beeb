"""The candidates of a benchmark: pyfw with each cipher, the machine's baselines, the peers."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench import peers
from bench.peers import PeerUnavailable
from lab import Implementation, pyfw_run
from lab.baseline import bare, without_cipher

# Kinds of candidates, as result files name them.
OURS, BASELINE, PEER = "ours", "floor", "peer"
_TITLES = {"tailscale": "Tailscale's fork"}


@dataclass(frozen=True)
class Candidate:
    """An implementation that is measured."""

    name: str
    # OURS, BASELINE or PEER.
    kind: str
    title: str
    version: str
    implementation: Implementation


def ours(settings: str, version: str, ciphers: Sequence[str]) -> list[Candidate]:
    """Returns pyfw with its default cipher, and with ring if that is not the default.

    settings: lines for NAME.pyfw.toml, for both. ciphers: those that work here, the default first.
    """
    best, *others = [cipher.split()[0] for cipher in ciphers]
    found = [Candidate("pyfw", OURS, f"pyfw ({best})", version, pyfw_run(settings))]
    if "ring" in others:
        with_ring = pyfw_run(f'cipher = "ring"\n{settings}')
        found.append(Candidate("pyfw-ring", OURS, "pyfw (ring)", version, with_ring))
    return found


def baselines(version: str) -> list[Candidate]:
    """Returns pyfw with its cipher off, and TUN to UDP alone. Raises Unavailable."""
    return [
        Candidate("cipher-off", BASELINE, "pyfw, cipher off", version, without_cipher()),
        Candidate("bare", BASELINE, "TUN to UDP alone", version, bare()),
    ]


def installed_peers(names: Sequence[str]) -> tuple[list[Candidate], dict[str, str]]:
    """Installs the peers of these names; returns them, and the reasons for those that are left out."""
    found, left_out = [], {}
    for name, peer in peers.install(names):
        if isinstance(peer, PeerUnavailable):
            left_out[name] = str(peer)
        else:
            title = _TITLES.get(name, name)
            found.append(Candidate(name, PEER, title, peer.version, peer.implementation))
    return found, left_out
