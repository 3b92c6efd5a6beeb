"""The kernel's word on one link: its MTU changed, or it is gone. In: rtnetlink's link group; no polling."""

import asyncio
import fcntl
import socket
from collections.abc import Callable

from pyroute2 import AsyncIPRoute

_RTMGRP_LINK = 1
_TUNGETIFF = 0x8004_54D2  # linux/if_tun.h: _IOR('T', 210, unsigned int)


class LinkWatch:
    """Calls back while it is entered.

    A link that moves to another namespace is deleted here and lives on there: the TUN descriptor knows
    (it detaches only from a link that is gone), so it is asked before anyone is told.
    """

    def __init__(
        self,
        name: str,
        tun_fd: int,
        on_mtu: Callable[[int], None],
        on_deleted: Callable[[], None],
    ) -> None:
        self._index = socket.if_nametoindex(name)
        self._tun_fd = tun_fd
        self._on_mtu = on_mtu
        self._on_deleted = on_deleted
        self._ipr = AsyncIPRoute()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begins to listen."""
        await self._ipr.bind(groups=_RTMGRP_LINK)
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Ends it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._ipr.close()

    async def _run(self) -> None:
        mtu = 0
        while True:
            async for message in self._ipr.get():
                if message["index"] != self._index:
                    continue
                if message["event"] == "RTM_DELLINK":
                    if not _attached(self._tun_fd):
                        self._on_deleted()
                elif message["event"] == "RTM_NEWLINK":
                    now = message.get_attr("IFLA_MTU")
                    if now and now != mtu:
                        mtu = now
                        self._on_mtu(mtu)


def _attached(tun_fd: int) -> bool:
    try:
        fcntl.ioctl(tun_fd, _TUNGETIFF, bytes(40))
    except OSError:
        return False
    return True
