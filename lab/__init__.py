"""Tests and benchmarks of pyfw in network namespaces, on top of what `pyfw demo` uses. Not in the wheel.

Daemons run as processes, so that pyfw is tested exactly as any other WireGuard implementation.
"""

from lab.network import ROUTED, Network, RoutedNetwork
from lab.pair import Pair
from lab.stream import Stream
from pyfw.demo.daemon import Daemon, Implementation, pyfw_run, pyfw_wg
from pyfw.demo.namespace import Host, Namespace, Unavailable, unavailable
from pyfw.demo.network import BEHIND, OUTER, TUNNEL
from pyfw.demo.process import Process

__all__ = [
    "BEHIND",
    "OUTER",
    "ROUTED",
    "TUNNEL",
    "Daemon",
    "Host",
    "Implementation",
    "Namespace",
    "Network",
    "Pair",
    "Process",
    "RoutedNetwork",
    "Stream",
    "Unavailable",
    "pyfw_run",
    "pyfw_wg",
    "unavailable",
]
