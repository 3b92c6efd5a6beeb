"""WireGuard's configuration protocol (wireguard.com/xplatform), for `wg` and `pyfw show`.

Replies are those of wireguard-go (device/uapi.go), but a request is parsed completely before any of it is
applied, so a malformed one changes nothing. The request `pyfw=1` is an extension: one line of JSON with
counters and facts.
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
    """A request fails with an errno."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.number = number


class _PeerChange(msgspec.Struct):
    """The change of one peer: `public_key=` and the lines after it."""

    public_key: bytes
    remove: bool = False
    update_only: bool = False
    preshared_key: bytes | None = None
    endpoint: str | None = None
    persistent_keepalive: int | None = None
    replace_allowed_ips: bool = False
    add_allowed_ips: dict[str, None] = msgspec.field(default_factory=dict)
    remove_allowed_ips: dict[str, None] = msgspec.field(default_factory=dict)


_Change = Callable[[Tunnel], None]


def get(tunnel: Tunnel) -> str:
    """Returns the reply to `get=1`, without the errno."""
    return "".join(f"{line}\n" for line in _get_lines(tunnel))


def details(tunnel: Tunnel) -> str:
    """Returns the reply to `pyfw=1`: process id, counters and facts, without secrets."""
    peers = [
        {"public_key": peer.public_key.hex(), "counters": peer.counters.to_dict()}
        for peer in tunnel.peers()
    ]
    body = {
        "pid": os.getpid(),
        "counters": tunnel.counters().to_dict(),
        "facts": tunnel.facts().to_dict(),
        "peers": peers,
    }
    return f"json={msgspec.json.encode(body).decode()}\n"


def set_(tunnel: Tunnel, lines: Iterable[str]) -> None:
    """Applies a `set=1` request. Raises UapiError."""
    for change in _parse(lines):
        try:
            change(tunnel)
        except ValueError as error:
            raise UapiError(errno.EINVAL, str(error)) from error
        except OSError as error:
            raise UapiError(error.errno or errno.EIO, str(error)) from error


def _get_lines(tunnel: Tunnel) -> Iterator[str]:
    # In the order of wireguard-go's IpcGetOperation, which does not send the own public key.
    configuration = tunnel.engine.configuration()
    if configuration.private_key:
        yield f"private_key={configuration.private_key.hex()}"
    if configuration.listen_port:
        yield f"listen_port={configuration.listen_port}"
    if configuration.fwmark:
        yield f"fwmark={configuration.fwmark}"
    for peer in tunnel.peers():
        yield f"public_key={peer.public_key.hex()}"
        yield f"preshared_key={(peer.preshared_key or _ZERO).hex()}"
        yield "protocol_version=1"
        if peer.endpoint:
            yield f"endpoint={peer.endpoint}"
        seconds, nanoseconds = divmod(peer.last_handshake_ns, 1_000_000_000)
        yield f"last_handshake_time_sec={seconds}"
        yield f"last_handshake_time_nsec={nanoseconds}"
        yield f"tx_bytes={peer.sent_bytes}"
        yield f"rx_bytes={peer.received_bytes}"
        yield f"persistent_keepalive_interval={peer.persistent_keepalive}"
        for network in peer.allowed_ips:
            yield f"allowed_ip={network}"


def _parse(lines: Iterable[str]) -> list[_Change]:
    changes: list[_Change] = []
    peer: _PeerChange | None = None
    for line in lines:
        key, equals, value = line.partition("=")
        if not equals:
            raise UapiError(errno.EPROTO, "a line has no =")
        try:
            if key == "public_key":
                peer = _PeerChange(_key(value))
                changes.append(_peer_change(peer))
            elif peer is None:
                changes.append(_parse_device_line(key, value))
            else:
                _parse_peer_line(peer, key, value)
        except ValueError as error:
            raise UapiError(errno.EINVAL, f"{key}: {error}") from error
    return changes


def _parse_device_line(key: str, value: str) -> _Change:
    match key:
        case "private_key":
            private_key = _key(value)
            key_or_none = None if private_key == _ZERO else private_key
            return lambda tunnel: tunnel.engine.set_private_key(key_or_none)
        case "listen_port":
            port = _number(value, 0xFFFF)
            return lambda tunnel: _discard(tunnel.set_listen_port(port))
        case "fwmark":
            mark = _number(value, 0xFFFF_FFFF)
            return lambda tunnel: tunnel.set_fwmark(mark)
        case "replace_peers":
            _check_true(value)
            return lambda tunnel: tunnel.engine.remove_peers()
    raise ValueError("unknown key of the device")


def _parse_peer_line(peer: _PeerChange, key: str, value: str) -> None:
    match key:
        case "update_only":
            _check_true(value)
            peer.update_only = True
        case "remove":
            _check_true(value)
            peer.remove = True
        case "preshared_key":
            peer.preshared_key = _key(value)
        case "endpoint":
            peer.endpoint = _endpoint(value)
        case "persistent_keepalive_interval":
            peer.persistent_keepalive = _number(value, 0xFFFF)
        case "replace_allowed_ips":
            _check_true(value)
            peer.replace_allowed_ips = True
            peer.add_allowed_ips.clear()
            peer.remove_allowed_ips.clear()
        case "allowed_ip":
            network = values.network(value.removeprefix("-"))
            if "/" not in value:
                raise ValueError("no prefix length")
            # If a prefix is repeated, its last line counts.
            add, remove = peer.add_allowed_ips, peer.remove_allowed_ips
            if value[0] == "-":
                add, remove = remove, add
            add[network] = None
            remove.pop(network, None)
        case "protocol_version":
            if value != "1":
                raise ValueError("unsupported version; only 1 is supported")
        case _:
            raise ValueError("unknown key of a peer")


def _peer_change(peer: _PeerChange) -> _Change:
    def change(tunnel: Tunnel) -> None:
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
            add_allowed_ips=tuple(peer.add_allowed_ips),
            remove_allowed_ips=tuple(peer.remove_allowed_ips),
        )

    return change


def _key(text: str) -> bytes:
    if not re.fullmatch(r"[0-9A-Fa-f]{64}", text):
        raise ValueError("not 64 hexadecimal digits")
    return bytes.fromhex(text)


def _number(text: str, maximum: int) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", text, re.ASCII) or int(text) > maximum:
        raise ValueError(f"not a number up to {maximum}")
    return int(text)


def _check_true(text: str) -> None:
    if text != "true":
        raise ValueError("the only valid value is true")


def _endpoint(text: str) -> str:
    # Numeric: `wg` resolves names.
    endpoint = values.endpoint(text)
    ipaddress.ip_address(endpoint.rpartition(":")[0].strip("[]"))
    return endpoint


def _discard(_value: Any) -> None:
    return None
