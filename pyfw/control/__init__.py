"""A tunnel as a daemon: UAPI socket, link and routes, signals, reload.

The daemon is loaded when first used: `pyfw show` is a client, and starts fast.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyfw.control.daemon import Daemon
    from pyfw.control.service import StartFailed, run_to_end, serve

__all__ = ["Daemon", "StartFailed", "run_to_end", "serve"]


def __getattr__(name: str) -> Any:
    if name == "Daemon":
        from pyfw.control.daemon import Daemon

        return Daemon
    if name in ("StartFailed", "run_to_end", "serve"):
        from pyfw.control import service

        return getattr(service, name)
    raise AttributeError(f"module 'pyfw.control' has no attribute {name!r}")
