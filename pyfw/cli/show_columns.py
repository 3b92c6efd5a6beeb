"""What `wg show INTERFACE FIELD` prints: a device in, lines of tab-separated columns out, for programs.

A field of the interface is one line, a field of its peers one line a peer, which begins with the peer's key.
"""

import base64
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyfw.control.uapi.client import ShownDevice, ShownPeer

_NANOSECONDS = 1_000_000_000


def lines(device: "ShownDevice", field: str) -> Iterator[str]:
    """The lines of one of FIELDS."""
    for columns in _ROWS[field](device):
        yield "\t".join(columns)


def text_of(key: bytes | None) -> str:
    """A key in base64."""
    return base64.b64encode(key).decode() if key else "(none)"


def public_key(device: "ShownDevice") -> str:
    """The device's own; daemons do not tell it."""
    if not device.private_key:
        return "(none)"
    from pyfw import _native

    return text_of(_native.public_key(device.private_key))


def _dump(device: "ShownDevice") -> Iterator[Iterable[str]]:
    yield (
        text_of(device.private_key),
        public_key(device),
        str(device.listen_port),
        _mark(device),
    )
    for peer in device.peers:
        yield (
            text_of(peer.public_key),
            text_of(peer.preshared_key),
            _endpoint(peer),
            ",".join(peer.allowed_ips) or "(none)",
            _handshake(peer),
            str(peer.received_bytes),
            str(peer.sent_bytes),
            _keepalive(peer),
        )


def _mark(device: "ShownDevice") -> str:
    return f"0x{device.fwmark:x}" if device.fwmark else "off"


def _endpoint(peer: "ShownPeer") -> str:
    return peer.endpoint or "(none)"


def _handshake(peer: "ShownPeer") -> str:
    return str(peer.last_handshake_ns // _NANOSECONDS)


def _keepalive(peer: "ShownPeer") -> str:
    return str(peer.persistent_keepalive or "off")


_Rows = Callable[["ShownDevice"], Iterable[Iterable[str]]]


def _of_device(value: Callable[["ShownDevice"], str]) -> _Rows:
    return lambda device: [(value(device),)]


def _of_peers(*values: Callable[["ShownPeer"], str]) -> _Rows:
    return lambda device: [
        (text_of(peer.public_key), *(value(peer) for value in values)) for peer in device.peers
    ]


_ROWS: dict[str, _Rows] = {
    "public-key": _of_device(public_key),
    "private-key": _of_device(lambda device: text_of(device.private_key)),
    "listen-port": _of_device(lambda device: str(device.listen_port)),
    "fwmark": _of_device(_mark),
    "peers": _of_peers(),
    "preshared-keys": _of_peers(lambda peer: text_of(peer.preshared_key)),
    "endpoints": _of_peers(_endpoint),
    "allowed-ips": _of_peers(lambda peer: " ".join(peer.allowed_ips) or "(none)"),
    "latest-handshakes": _of_peers(_handshake),
    "transfer": _of_peers(lambda peer: str(peer.received_bytes), lambda peer: str(peer.sent_bytes)),
    "persistent-keepalive": _of_peers(_keepalive),
    "dump": _dump,
}

FIELDS = tuple(_ROWS)
"""In the order of wg's own help."""
