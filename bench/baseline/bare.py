"""Forwards packets from TUN to UDP and back, with nothing in between."""

import os

from pyfw import _native
from pyfw.config import Config
from pyfw.pipeline import MTU_DEFAULT

# What WireGuard adds to a packet (whitepaper §5.4.6), so that batches are as long as a tunnel's.
_OVERHEAD = 32


def forward(config: Config) -> None:
    """Opens the TUN, prints "up", and forwards until the link is deleted, then raises OSError.

    The caller sets the interface's addresses and routes.
    """
    peer = config.peers[0].endpoint
    assert peer is not None, "documentation_only rejects a peer without an endpoint"
    tun_fd, _name, _granted = _native.open_tun(config.name)
    v4, v6, _port = _native.open_udp(config.interface.listen_port or 0)
    used, unused = (v6, v4) if peer.startswith("[") else (v4, v6)
    if unused >= 0:
        os.close(unused)
    print("up", flush=True)
    _native.passthrough(tun_fd, used, peer, (config.interface.mtu or MTU_DEFAULT) + _OVERHEAD)
