"""Checks that a role in NAME.pyfw.toml fits the wg-quick file."""

from collections.abc import Callable, Iterator

from pyfw.config.problem import Problem
from pyfw.config.settings import Settings
from pyfw.config.wg_quick import WgQuickFile

MakeProblem = Callable[[str, str], Problem]
"""Takes the key and the message."""


def errors(settings: Settings, conf: WgQuickFile, problem: MakeProblem) -> Iterator[Problem]:
    """Yields the contradictions between both files."""
    peers, interface = conf.peers, conf.interface
    if settings.role == "gateway" and not interface.addresses:
        yield problem("role", "a gateway needs an address; add an Address to [Interface]")
    if settings.role == "client" and not any(peer.endpoint for peer in peers):
        yield problem("role", "a client needs a gateway; add a [Peer] with an Endpoint")
    if settings.kill_switch:
        if not any(network.endswith("/0") for peer in peers for network in peer.allowed_ips):
            yield problem(
                "kill_switch",
                "blocks all traffic outside the tunnel, and no [Peer] accepts all traffic; write "
                "AllowedIPs = 0.0.0.0/0, ::/0, or leave it out",
            )
        elif interface.table != "auto":
            text = "needs the mark of the tunnel's own datagrams; write Table = auto"
            yield problem("kill_switch", text)


def warnings(settings: Settings, conf: WgQuickFile, problem: MakeProblem) -> Iterator[Problem]:
    """Yields what is valid but may surprise."""
    if settings.kill_switch and not conf.interface.dns:
        text = "no DNS is set; name servers outside the tunnel will be unreachable"
        yield problem("kill_switch", text)
