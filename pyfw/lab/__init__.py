"""A network on one machine: client, gateway and server as namespaces, and the daemons between them.

The demo, the benchmark and the wire tests stand on it. It starts daemons as processes and never
imports the data plane, so that pyfw is met here exactly as any other WireGuard is.
"""

from pyfw.lab.daemon import Daemon, Implementation, bare, pyfw_run, pyfw_wg, without_cipher
from pyfw.lab.foreign import boringtun, gotatun, newest_wireguard_go, wireguard_go
from pyfw.lab.namespace import Host, Namespace, Unavailable, unavailable
from pyfw.lab.network import BEHIND, OUTER, ROUTED, TUNNEL, Dual, Network, RoutedNetwork
from pyfw.lab.pair import Pair
from pyfw.lab.process import Process
from pyfw.lab.stream import Stream

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
