"""WireGuard's configuration protocol (wireguard.com/xplatform): request lines in, reply text out.

As wireguard-go answers (device/uapi.go), but a request is read whole before anything of it is done, so
a malformed one changes nothing. `wg` speaks this; so does `pyfw show`, which also asks `pyfw=1` for what
the protocol has no words for (one line `json=…`).
"""

import errno
import ipaddress
import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from pyfw.config import values
from pyfw.tunnel import Tunnel

_ZERO = bytes(32)


class UapiError(Exception):
    """A request that is answered with an errno."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.number = number


class _SetPeer(msgspec.Struct):
    """What one `public_key=` and the lines after it ask for."""

    public_key: bytes
    remove: bool = False
    update_only: bool = False
    preshared_key: bytes | None = None
    endpoint: str | None = None
    persistent_keepalive: int | None = None
    replace_allowed_ips: bool = False
    add: dict[str, None] = msgspec.field(default_factory=dict)
    drop: dict[str, None] = msgspec.field(default_factory=dict)


_Step = Callable[[Tunnel], None]


def get(tunnel: Tunnel) -> str:
    """The lines of a `get=1` reply, without its errno."""
    return "".join(f"{line}\n" for line in _get_lines(tunnel))


def details(tunnel: Tunnel) -> str:
    """The line of a `pyfw=1` reply: process id, counters and facts. No secrets."""
    peers = [
        {"public_key": bytes(peer["public_key"]).hex(), "counters": peer.get("counters")}
        for peer in tunnel.peers()
    ]
    body = {
        "pid": os.getpid(),
        "counters": tunnel.counters(),
        "facts": tunnel.facts(),
        "peers": peers,
    }
    return f"json={msgspec.json.encode(body, enc_hook=str).decode()}\n"


def set_(tunnel: Tunnel, lines: Iterable[str]) -> None:
    """Does what the lines of a `set=1` request say. Raises UapiError."""
    for step in _steps(lines):
        try:
            step(tunnel)
        except ValueError as error:
            raise UapiError(errno.EINVAL, str(error)) from error
        except OSError as error:
            raise UapiError(error.errno or errno.EIO, str(error)) from error


def _get_lines(tunnel: Tunnel) -> Iterator[str]:
    # In the order of wireguard-go's IpcGetOperation; our own public key is not sent.
    configuration = tunnel.engine.configuration()
    if configuration["private_key"]:
        yield f"private_key={bytes(configuration['private_key']).hex()}"
    if configuration["listen_port"]:
        yield f"listen_port={configuration['listen_port']}"
    if configuration["fwmark"]:
        yield f"fwmark={configuration['fwmark']}"
    for peer in tunnel.peers():
        yield f"public_key={bytes(peer['public_key']).hex()}"
        yield f"preshared_key={bytes(peer['preshared_key'] or _ZERO).hex()}"
        yield "protocol_version=1"
        if peer["endpoint"]:
            yield f"endpoint={peer['endpoint']}"
        seconds, nanoseconds = divmod(peer["last_handshake_ns"], 1_000_000_000)
        yield f"last_handshake_time_sec={seconds}"
        yield f"last_handshake_time_nsec={nanoseconds}"
        yield f"tx_bytes={peer['sent_bytes']}"
        yield f"rx_bytes={peer['received_bytes']}"
        yield f"persistent_keepalive_interval={peer['persistent_keepalive']}"
        for network in peer["allowed_ips"]:
            yield f"allowed_ip={network}"


def _steps(lines: Iterable[str]) -> list[_Step]:
    steps: list[_Step] = []
    peer: _SetPeer | None = None
    for line in lines:
        key, equals, value = line.partition("=")
        if not equals:
            raise UapiError(errno.EPROTO, "a line without =")
        try:
            if key == "public_key":
                peer = _SetPeer(_key(value))
                steps.append(_peer_step(peer))
            elif peer is None:
                steps.append(_device_line(key, value))
            else:
                _peer_line(peer, key, value)
        except ValueError as error:
            raise UapiError(errno.EINVAL, f"{key}: {error}") from error
    return steps


def _device_line(key: str, value: str) -> _Step:
    match key:
        case "private_key":
            private_key = _key(value)
            given = None if private_key == _ZERO else private_key
            return lambda tunnel: tunnel.engine.set_private_key(given)
        case "listen_port":
            port = _number(value, 0xFFFF)
            return lambda tunnel: _ignore(tunnel.set_listen_port(port))
        case "fwmark":
            mark = _number(value, 0xFFFF_FFFF)
            return lambda tunnel: tunnel.set_fwmark(mark)
        case "replace_peers":
            _true(value)
            return lambda tunnel: tunnel.engine.remove_peers()
    raise ValueError("no such key of the device")


def _peer_line(peer: _SetPeer, key: str, value: str) -> None:
    match key:
        case "update_only":
            _true(value)
            peer.update_only = True
        case "remove":
            _true(value)
            peer.remove = True
        case "preshared_key":
            peer.preshared_key = _key(value)
        case "endpoint":
            peer.endpoint = _endpoint(value)
        case "persistent_keepalive_interval":
            peer.persistent_keepalive = _number(value, 0xFFFF)
        case "replace_allowed_ips":
            _true(value)
            peer.replace_allowed_ips = True
            peer.add.clear()
            peer.drop.clear()
        case "allowed_ip":
            network = values.network(value.removeprefix("-"))
            if "/" not in value:
                raise ValueError("without a length")
            # The last word on a prefix counts.
            into, out_of = (peer.drop, peer.add) if value[0] == "-" else (peer.add, peer.drop)
            into[network] = None
            out_of.pop(network, None)
        case "protocol_version":
            if value != "1":
                raise ValueError("only 1 is spoken here")
        case _:
            raise ValueError("no such key of a peer")


def _peer_step(peer: _SetPeer) -> _Step:
    def step(tunnel: Tunnel) -> None:
        if peer.remove:
            tunnel.engine.remove_peer(peer.public_key)
            return
        tunnel.engine.set_peer(
            peer.public_key,
            update_only=peer.update_only,
            preshared_key=peer.preshared_key,
            endpoint=peer.endpoint,
            persistent_keepalive=peer.persistent_keepalive,
            replace_allowed_ips=peer.replace_allowed_ips,
            add_allowed_ips=tuple(peer.add),
            remove_allowed_ips=tuple(peer.drop),
        )

    return step


def _key(text: str) -> bytes:
    if not re.fullmatch(r"[0-9A-Fa-f]{64}", text):
        raise ValueError("not 64 hexadecimal digits")
    return bytes.fromhex(text)


def _number(text: str, maximum: int) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", text, re.ASCII) or int(text) > maximum:
        raise ValueError(f"not a number up to {maximum}")
    return int(text)


def _true(text: str) -> None:
    if text != "true":
        raise ValueError("can only be true")


def _endpoint(text: str) -> str:
    # Numeric here: `wg` has resolved it.
    endpoint = values.endpoint(text)
    ipaddress.ip_address(endpoint.rpartition(":")[0].strip("[]"))
    return endpoint


def _ignore(_value: Any) -> None:
    return None
