"""A client of UAPI sockets, which returns plain structs."""

import os
import socket
import struct
from typing import Any

import msgspec

from pyfw.control.uapi import socket_path

_UCRED = struct.Struct("3i")  # struct ucred of unix(7): pid, uid, gid


class Peer(msgspec.Struct):
    """A peer, as reported by the daemon."""

    public_key: bytes
    preshared_key: bytes | None = None
    endpoint: str | None = None
    allowed_ips: list[str] = msgspec.field(default_factory=list)
    last_handshake_ns: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0
    persistent_keepalive: int = 0


class Device(msgspec.Struct):
    """An interface, as reported by its daemon."""

    name: str
    private_key: bytes | None = None
    listen_port: int = 0
    fwmark: int = 0
    peers: list[Peer] = msgspec.field(default_factory=list)


def interfaces() -> list[str]:
    """Returns the names of interfaces that have a running daemon."""
    names = [path.name.removesuffix(".sock") for path in socket_path.DIRECTORY.glob("*.sock")]
    return [name for name in sorted(names) if is_running(name)]


def is_running(name: str) -> bool:
    """Whether a daemon accepts connections for this interface."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(socket_path.path_of(name)))
        except OSError:
            return False
    return True


def daemon_pid(name: str) -> int | None:
    """Returns the daemon's process id, if it is pyfw in our process namespace. Raises OSError."""
    pid = (details(name) or {}).get("pid")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.connect(str(socket_path.path_of(name)))
        credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    # The kernel must confirm it: a socket that was passed on names the process that opened it, and an
    # id of another process namespace means another process here.
    return pid if pid == _UCRED.unpack(credentials)[0] else None


def device(name: str) -> Device:
    """Requests the device with `get=1`. Raises OSError."""
    return parse_device(name, _request(name, "get=1\n\n"))


def parse_device(name: str, reply: str) -> Device:
    """Parses a reply to `get=1`."""
    parsed = Device(name)
    peer = Peer(b"")
    for line in reply.splitlines():
        key, _, value = line.partition("=")
        match key:
            case "private_key":
                parsed.private_key = bytes.fromhex(value)
            case "listen_port":
                parsed.listen_port = int(value)
            case "fwmark":
                parsed.fwmark = int(value)
            case "public_key":
                peer = Peer(bytes.fromhex(value))
                parsed.peers.append(peer)
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
    return parsed


def details(name: str) -> dict[str, Any] | None:
    """Returns process id, counters and facts; None if the daemon is not pyfw. Raises OSError."""
    try:
        reply = _request(name, "pyfw=1\n\n")
    except ConnectionError:
        return None  # other implementations close the connection
    for line in reply.splitlines():
        if line.startswith("json="):
            document: dict[str, Any] = msgspec.json.decode(line.removeprefix("json="))
            return document
    return None


def _request(name: str, request: str) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(socket_path.path_of(name)))
        connection.sendall(request.encode())
        reply = bytearray()
        while not reply.endswith(b"\n\n"):
            chunk = connection.recv(1 << 16)
            if not chunk:
                raise ConnectionResetError("the daemon closed the connection")
            reply += chunk
    body, _, number = reply.decode().rstrip("\n").rpartition("errno=")
    if number != "0":
        raise OSError(abs(int(number)), os.strerror(abs(int(number))))
    return body
