"""A tunnel as a daemon: UAPI socket, link and routes, signals, reload."""

from pyfw.control.daemon import Daemon

__all__ = ["Daemon"]
