"""pyfw: an order-preserving WireGuard data plane, programmed in Python. Public names only.

Names are imported when first used: `pyfw genkey` starts fast, and `pyfw-wg` forks before the extension or an
event loop is imported.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyfw._native import Counters, Facts, PeerStatus
    from pyfw.config import Config, ConfigError, Interface, Peer, Settings, StageConfig, load
    from pyfw.control import Daemon
    from pyfw.pipeline import Pipeline
    from pyfw.stage import Frame, FrameBatch, HeldFrame, Stage
    from pyfw.testing import StageTest
    from pyfw.tunnel import Tunnel

__all__ = [
    "Config",
    "ConfigError",
    "Counters",
    "Daemon",
    "Facts",
    "Frame",
    "FrameBatch",
    "HeldFrame",
    "Interface",
    "Peer",
    "PeerStatus",
    "Pipeline",
    "Settings",
    "Stage",
    "StageConfig",
    "StageTest",
    "Tunnel",
    "load",
]

_MODULES = {
    "Config": "pyfw.config",
    "ConfigError": "pyfw.config",
    "Counters": "pyfw._native",
    "Daemon": "pyfw.control",
    "Facts": "pyfw._native",
    "Frame": "pyfw.stage",
    "FrameBatch": "pyfw.stage",
    "HeldFrame": "pyfw.stage",
    "Interface": "pyfw.config",
    "Peer": "pyfw.config",
    "PeerStatus": "pyfw._native",
    "Pipeline": "pyfw.pipeline",
    "Settings": "pyfw.config",
    "Stage": "pyfw.stage",
    "StageConfig": "pyfw.config",
    "StageTest": "pyfw.testing",
    "Tunnel": "pyfw.tunnel",
    "load": "pyfw.config",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("pyfw._native").__version__
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'pyfw' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
