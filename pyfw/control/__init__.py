"""Runs tunnels as daemons: UAPI socket, host network, signals, reload.

Daemon and service load on first use, so that `pyfw show`, which only needs the UAPI client, starts fast.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyfw.control.daemon import Daemon
    from pyfw.control.service import StartFailed, run_service, serve

__all__ = ["Daemon", "StartFailed", "run_service", "serve"]


def __getattr__(name: str) -> Any:
    if name == "Daemon":
        from pyfw.control.daemon import Daemon

        return Daemon
    if name in ("StartFailed", "run_service", "serve"):
        from pyfw.control import service

        return getattr(service, name)
    raise AttributeError(f"module 'pyfw.control' has no attribute {name!r}")
