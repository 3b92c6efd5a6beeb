"""The length of a TUN's queue, through rtnetlink: the engine says how many frames a millisecond is."""

import asyncio
import socket

import structlog
from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError


class QueueLength:
    """Sets it in the background, one after the other."""

    def __init__(self) -> None:
        self._setting: asyncio.Task[None] | None = None

    def set_soon(self, interface: str, frames: int) -> None:
        """Of a link in this network namespace. What the kernel refuses is logged."""
        self._setting = asyncio.ensure_future(self._set(self._setting, interface, frames))

    async def close(self) -> None:
        """Waits for the last one."""
        if self._setting is not None:
            await asyncio.wait([self._setting])

    async def _set(self, before: asyncio.Task[None] | None, interface: str, frames: int) -> None:
        if before is not None:
            await asyncio.wait([before])
        try:
            async with AsyncIPRoute() as ipr:
                await ipr.link("set", index=socket.if_nametoindex(interface), txqlen=frames)
        except (OSError, NetlinkError) as error:
            # The link was deleted, or is in another namespace.
            structlog.get_logger("pyfw").debug(
                "queue length not set", interface=interface, reason=str(error)
            )
