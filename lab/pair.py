"""A pair of daemons that tests stop, restart and reconfigure."""

from lab.peers import Peer
from pyfw.demo import pair
from pyfw.demo.daemon import Daemon, Implementation


class Pair(pair.Pair):
    """Client and gateway with a tunnel between them."""

    def restart(self, side: str) -> None:
        """Stops one daemon and starts it again with the same configuration; its sessions are lost."""
        self._replace(side, self.confs[("client", "gateway").index(side)])

    def reconfigure(self, side: str, conf: str) -> None:
        """Gives one daemon another configuration, by a restart if it accepts only its first."""
        daemon: Daemon = getattr(self, side)
        if _accepts_changes(daemon.implementation):
            daemon.set_conf(conf)
        else:
            self._replace(side, conf)

    def stop(self) -> None:
        """Stops both daemons."""
        for daemon in self.daemons:
            daemon.stop()

    def _replace(self, side: str, conf: str) -> None:
        old: Daemon = getattr(self, side)
        old.stop()
        new = old.implementation.start(getattr(self.network, side), conf)
        setattr(self, side, new.wait_until_up())


def _accepts_changes(implementation: Implementation) -> bool:
    return not isinstance(implementation, Peer) or implementation.accepts_changes
