"""TUN to UDP and back with nothing between, as a process.

In: a configuration that `lab_only` let through, with one peer. Out: a TUN, "up" on standard output, then
frames, until it is killed. Its addresses and routes are up to who started it.
"""

import os

from pyfw import _native
from pyfw.config import Config
from pyfw.pipeline import MTU_DEFAULT

# What WireGuard adds to a packet (whitepaper §5.4.6): batches of the length that a tunnel's have.
_OVERHEAD = 32


def carry(config: Config) -> None:
    """Runs until the link is deleted. Raises OSError then."""
    peer = config.peers[0].endpoint
    assert peer is not None, "lab_only refuses a peer without one"
    tun_fd, _name, _granted = _native.open_tun(config.name)
    v4, v6, _port = _native.open_udp(config.interface.listen_port or 0)
    used, unused = (v6, v4) if peer.startswith("[") else (v4, v6)
    if unused >= 0:
        os.close(unused)
    print("up", flush=True)
    _native.passthrough(tun_fd, used, peer, (config.interface.mtu or MTU_DEFAULT) + _OVERHEAD)
