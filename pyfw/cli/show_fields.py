"""Formats the fields of `wg show INTERFACE FIELD`, in tab-separated columns.

A field of the interface is one line. A field of its peers is one line per peer, which begins with the peer's
key.
"""

import base64
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyfw.control.uapi.client import Device, Peer

_NANOSECONDS = 1_000_000_000


def field_lines(device: "Device", field: str) -> Iterator[str]:
    """Returns the lines of one of FIELDS."""
    for columns in _FIELD_ROWS[field](device):
        yield "\t".join(columns)


def key_text(key: bytes | None) -> str:
    """Returns a key in base64, or "(none)"."""
    return base64.b64encode(key).decode() if key else "(none)"


def public_key(device: "Device") -> str:
    """Returns the device's public key, which daemons do not report, or "(none)"."""
    if not device.private_key:
        return "(none)"
    from pyfw import _native

    return key_text(_native.public_key(device.private_key))


def _dump(device: "Device") -> Iterator[Iterable[str]]:
    yield (
        key_text(device.private_key),
        public_key(device),
        str(device.listen_port),
        _mark(device),
    )
    for peer in device.peers:
        yield (
            key_text(peer.public_key),
            key_text(peer.preshared_key),
            _endpoint(peer),
            ",".join(peer.allowed_ips) or "(none)",
            _handshake(peer),
            str(peer.received_bytes),
            str(peer.sent_bytes),
            _keepalive(peer),
        )


def _mark(device: "Device") -> str:
    return f"0x{device.fwmark:x}" if device.fwmark else "off"


def _endpoint(peer: "Peer") -> str:
    return peer.endpoint or "(none)"


def _handshake(peer: "Peer") -> str:
    return str(peer.last_handshake_ns // _NANOSECONDS)


def _keepalive(peer: "Peer") -> str:
    return str(peer.persistent_keepalive or "off")


_Rows = Callable[["Device"], Iterable[Iterable[str]]]


def _of_device(value: Callable[["Device"], str]) -> _Rows:
    return lambda device: [(value(device),)]


def _of_peers(*values: Callable[["Peer"], str]) -> _Rows:
    return lambda device: [
        (key_text(peer.public_key), *(value(peer) for value in values)) for peer in device.peers
    ]


_FIELD_ROWS: dict[str, _Rows] = {
    "public-key": _of_device(public_key),
    "private-key": _of_device(lambda device: key_text(device.private_key)),
    "listen-port": _of_device(lambda device: str(device.listen_port)),
    "fwmark": _of_device(_mark),
    "peers": _of_peers(),
    "preshared-keys": _of_peers(lambda peer: key_text(peer.preshared_key)),
    "endpoints": _of_peers(_endpoint),
    "allowed-ips": _of_peers(lambda peer: " ".join(peer.allowed_ips) or "(none)"),
    "latest-handshakes": _of_peers(_handshake),
    "transfer": _of_peers(lambda peer: str(peer.received_bytes), lambda peer: str(peer.sent_bytes)),
    "persistent-keepalive": _of_peers(_keepalive),
    "dump": _dump,
}

FIELDS = tuple(_FIELD_ROWS)
"""In the order of wg's help."""
