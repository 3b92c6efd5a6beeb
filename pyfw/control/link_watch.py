"""Watches a link over rtnetlink: its MTU changes, or it is deleted."""

import asyncio
import fcntl
import socket
from collections.abc import Callable

from pyroute2 import AsyncIPRoute

_RTMGRP_LINK = 1
_TUNGETIFF = 0x8004_54D2  # linux/if_tun.h: _IOR('T', 210, unsigned int)


class LinkWatch:
    """Calls back from `start` to `close`.

    A link that moves to another network namespace is reported as deleted here. The TUN descriptor detaches
    only from a link that is really deleted, so `on_deleted` depends on it.
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
        """Starts watching."""
        await self._ipr.bind(groups=_RTMGRP_LINK)
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stops watching."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._ipr.close()

    async def _run(self) -> None:
        last_mtu = 0
        while True:
            async for message in self._ipr.get():
                if message["index"] != self._index:
                    continue
                if message["event"] == "RTM_DELLINK":
                    if not _is_attached(self._tun_fd):
                        self._on_deleted()
                elif message["event"] == "RTM_NEWLINK":
                    mtu = message.get_attr("IFLA_MTU")
                    if mtu and mtu != last_mtu:
                        last_mtu = mtu
                        self._on_mtu(mtu)


def _is_attached(tun_fd: int) -> bool:
    try:
        fcntl.ioctl(tun_fd, _TUNGETIFF, bytes(40))
    except OSError:
        return False
    return True
