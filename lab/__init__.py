"""A network on one machine: client, gateway and server as namespaces, and the daemons between them.

The demo, the benchmark and the wire tests stand on it. It starts daemons as processes and never
imports the data plane, so that pyfw is met here exactly as any other WireGuard is.
"""

from lab.peers import boringtun, gotatun, newest_wireguard_go, wireguard_go
from lab.stream import Stream
from pyfw.demo.daemon import Daemon, Implementation, bare, pyfw_run, pyfw_wg, without_cipher
from pyfw.demo.namespace import Host, Namespace, Unavailable, unavailable
from pyfw.demo.network import BEHIND, OUTER, ROUTED, TUNNEL, Dual, Network, RoutedNetwork
from pyfw.demo.pair import Pair
from pyfw.demo.process import Process

__all__ = [
    "BEHIND",
    "OUTER",
    "ROUTED",
    "TUNNEL",
    "Daemon",
    "Dual",
    "Host",
    "Implementation",
    "Namespace",
    "Network",
    "Pair",
    "Process",
    "RoutedNetwork",
    "Stream",
    "Unavailable",
    "bare",
    "boringtun",
    "gotatun",
    "newest_wireguard_go",
    "pyfw_run",
    "pyfw_wg",
    "unavailable",
    "wireguard_go",
    "without_cipher",
]
