"""Resolves the names in endpoints, with the retries of wg(8)."""

import asyncio
import ipaddress
import os
import socket
from collections.abc import Mapping

import msgspec
import structlog

from pyfw.config import Config

# wg's config.c: 15 retries, the first after 1 s, each 1.2 times later than the last, at most 20 s.
_RETRIES = 15
_RETRY_S, _BACKOFF, _RETRY_MAX_S = 1.0, 1.2, 20.0
# getaddrinfo(3): errors that a retry cannot change.
_PERMANENT = {socket.EAI_NONAME, socket.EAI_FAIL, getattr(socket, "EAI_NODATA", socket.EAI_FAIL)}


async def resolve(config: Config, known: Mapping[str, str] | None = None) -> Config:
    """Returns the configuration with numeric endpoints. Raises OSError with the endpoint.

    known: numeric endpoints by name, which are not looked up.
    """
    known = known or {}
    endpoints = [peer.endpoint for peer in config.peers]
    resolved = await asyncio.gather(*(_resolve(known.get(e, e) if e else e) for e in endpoints))
    return msgspec.structs.replace(
        config,
        peers=tuple(
            msgspec.structs.replace(peer, endpoint=endpoint)
            for peer, endpoint in zip(config.peers, resolved, strict=True)
        ),
    )


async def _resolve(endpoint: str | None) -> str | None:
    if endpoint is None:
        return None
    host, _, port = endpoint.rpartition(":")
    try:
        ipaddress.ip_address(host.strip("[]"))
        return endpoint
    except ValueError:
        pass
    loop = asyncio.get_running_loop()
    retry_s = _RETRY_S
    retries = _retries()
    while True:
        try:
            found = await loop.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)
        except socket.gaierror as error:
            if error.errno in _PERMANENT or retries == 0:
                raise OSError(error.errno, f"{endpoint}: {error.strerror}") from error
            retries -= 1
            log = structlog.get_logger("pyfw")
            log.warning("endpoint.unresolved", endpoint=endpoint, reason=error.strerror)
            await asyncio.sleep(retry_s)
            retry_s = min(_RETRY_MAX_S, retry_s * _BACKOFF)
            continue
        address = str(found[0][4][0])
        return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _retries() -> int:
    """Returns the number of retries; negative: unlimited."""
    text = os.environ.get("WG_ENDPOINT_RESOLUTION_RETRIES", "")
    if text == "infinity":
        return -1
    return int(text) if text.isdigit() else _RETRIES
