"""Endpoints by name to endpoints by number, as wg(8) does it: at start, retried while it may yet work."""

import asyncio
import ipaddress
import os
import socket
from collections.abc import Mapping

import msgspec
import structlog

from pyfw.config import Config

# wg's config.c: 15 tries, 1 s apart at first, 1.2 times longer each time, at most 20 s.
_RETRIES = 15
_PAUSE_S, _PAUSE_GROWTH, _PAUSE_MAX_S = 1.0, 1.2, 20.0
# getaddrinfo(3): these stay as they are, however often one asks.
_FOR_GOOD = {socket.EAI_NONAME, socket.EAI_FAIL, getattr(socket, "EAI_NODATA", socket.EAI_FAIL)}


async def resolve(config: Config, known: Mapping[str, str] | None = None) -> Config:
    """The configuration with numeric endpoints. Raises OSError naming the endpoint.

    known: endpoints that are not looked up, because we know what they stand for.
    """
    known = known or {}
    endpoints = [peer.endpoint for peer in config.peers]
    peers = await asyncio.gather(*(_resolved(known.get(e, e) if e else e) for e in endpoints))
    return msgspec.structs.replace(
        config,
        peers=tuple(
            msgspec.structs.replace(peer, endpoint=endpoint)
            for peer, endpoint in zip(config.peers, peers, strict=True)
        ),
    )


async def _resolved(endpoint: str | None) -> str | None:
    if endpoint is None:
        return None
    host, _, port = endpoint.rpartition(":")
    try:
        ipaddress.ip_address(host.strip("[]"))
        return endpoint
    except ValueError:
        pass
    loop = asyncio.get_running_loop()
    pause_s = _PAUSE_S
    left = _retries()
    while True:
        try:
            found = await loop.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)
        except socket.gaierror as error:
            if error.errno in _FOR_GOOD or left == 0:
                raise OSError(error.errno, f"{endpoint}: {error.strerror}") from error
            left -= 1
            text = "endpoint not resolved yet"
            structlog.get_logger("pyfw").warning(text, endpoint=endpoint, reason=error.strerror)
            await asyncio.sleep(pause_s)
            pause_s = min(_PAUSE_MAX_S, pause_s * _PAUSE_GROWTH)
            continue
        address = str(found[0][4][0])
        return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _retries() -> int:
    text = os.environ.get("WG_ENDPOINT_RESOLUTION_RETRIES", "")
    if text == "infinity":
        return -1
    return int(text) if text.isdigit() else _RETRIES
