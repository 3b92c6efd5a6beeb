"""Whether a role fits its tunnel: both files in; problems and warnings out, of NAME.pyfw.toml's lines."""

from collections.abc import Callable, Iterator

from pyfw.config.problem import Problem
from pyfw.config.settings import Settings
from pyfw.config.wg_quick import WgQuick

Told = Callable[[str, str], Problem]
"""A problem of a key, by its name and what would be right."""


def faults(settings: Settings, conf: WgQuick, told: Told) -> Iterator[Problem]:
    """What the two files cannot mean together."""
    peers, interface = conf.peers, conf.interface
    if settings.role == "gateway" and not interface.addresses:
        yield told("role", "a gateway is reached at an address; write Address into [Interface]")
    if settings.role == "client" and not any(peer.endpoint for peer in peers):
        yield told("role", "a client goes to somebody; write a [Peer] with an Endpoint")
    if settings.kill_switch:
        if not any(network.endswith("/0") for peer in peers for network in peer.allowed_ips):
            yield told(
                "kill_switch",
                "lets nothing leave but through the tunnel, and no [Peer] takes everything; write "
                "AllowedIPs = 0.0.0.0/0, ::/0, or leave it out",
            )
        elif interface.table != "auto":
            yield told("kill_switch", "knows our datagrams by their mark; write Table = auto")


def warnings(settings: Settings, conf: WgQuick, told: Told) -> Iterator[Problem]:
    """What works, and may surprise."""
    if settings.kill_switch and not conf.interface.dns:
        yield told(
            "kill_switch",
            "no DNS is given: name servers that are not reached through the tunnel are cut off",
        )
