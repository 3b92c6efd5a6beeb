"""The other end of the UAPI socket: what `pyfw show` asks, and what came back as plain structs."""

import os
import socket
import struct
from typing import Any

import msgspec

from pyfw.control.uapi import socket_path

_UCRED = struct.Struct("3i")  # struct ucred of unix(7): pid, uid, gid


class ShownPeer(msgspec.Struct):
    """A peer as its daemon describes it."""

    public_key: bytes
    preshared_key: bytes | None = None
    endpoint: str | None = None
    allowed_ips: list[str] = msgspec.field(default_factory=list)
    last_handshake_ns: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0
    persistent_keepalive: int = 0


class ShownDevice(msgspec.Struct):
    """An interface as its daemon describes it."""

    name: str
    private_key: bytes | None = None
    listen_port: int = 0
    fwmark: int = 0
    peers: list[ShownPeer] = msgspec.field(default_factory=list)


def interfaces() -> list[str]:
    """Names of interfaces whose daemon answers here."""
    names = [path.name.removesuffix(".sock") for path in socket_path.DIRECTORY.glob("*.sock")]
    return [name for name in sorted(names) if answers(name)]


def answers(name: str) -> bool:
    """Whether a daemon serves this interface."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(socket_path.path_of(name)))
        except OSError:
            return False
    return True


def process(name: str) -> int | None:
    """The daemon's process id, if it is pyfw and in our process namespace. Raises OSError."""
    pid = (details(name) or {}).get("pid")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.connect(str(socket_path.path_of(name)))
        credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    # The kernel's word on who listens: a socket that was handed over has another process's name on it,
    # and a number of another process namespace would be somebody else's here.
    return pid if pid == _UCRED.unpack(credentials)[0] else None


def device(name: str) -> ShownDevice:
    """Asks `get=1`. Raises OSError."""
    return parsed(name, _ask(name, "get=1\n\n"))


def parsed(name: str, reply: str) -> ShownDevice:
    """The lines of a reply to `get=1`, as a struct."""
    shown = ShownDevice(name)
    peer = ShownPeer(b"")
    for line in reply.splitlines():
        key, _, value = line.partition("=")
        match key:
            case "private_key":
                shown.private_key = bytes.fromhex(value)
            case "listen_port":
                shown.listen_port = int(value)
            case "fwmark":
                shown.fwmark = int(value)
            case "public_key":
                peer = ShownPeer(bytes.fromhex(value))
                shown.peers.append(peer)
            case "preshared_key":
                peer.preshared_key = bytes.fromhex(value) if value.strip("0") else None
            case "endpoint":
                peer.endpoint = value
            case "allowed_ip":
                peer.allowed_ips.append(value)
            case "last_handshake_time_sec":
                peer.last_handshake_ns += int(value) * 1_000_000_000
            case "last_handshake_time_nsec":
                peer.last_handshake_ns += int(value)
            case "rx_bytes":
                peer.received_bytes = int(value)
            case "tx_bytes":
                peer.sent_bytes = int(value)
            case "persistent_keepalive_interval":
                peer.persistent_keepalive = int(value)
    return shown


def details(name: str) -> dict[str, Any] | None:
    """Counters and facts, where the daemon is pyfw. Raises OSError."""
    try:
        reply = _ask(name, "pyfw=1\n\n")
    except ConnectionError:
        return None  # another implementation: it hangs up
    for line in reply.splitlines():
        if line.startswith("json="):
            found: dict[str, Any] = msgspec.json.decode(line.removeprefix("json="))
            return found
    return None


def _ask(name: str, request: str) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(socket_path.path_of(name)))
        connection.sendall(request.encode())
        reply = bytearray()
        while not reply.endswith(b"\n\n"):
            chunk = connection.recv(1 << 16)
            if not chunk:
                raise ConnectionResetError("the daemon hung up")
            reply += chunk
    body, _, number = reply.decode().rstrip("\n").rpartition("errno=")
    if number != "0":
        raise OSError(abs(int(number)), os.strerror(abs(int(number))))
    return body
