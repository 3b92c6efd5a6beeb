"""Writes the configuration of a running tunnel into its file, as `wg-quick save` does. Comments are lost."""

import base64
import ipaddress
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from pyroute2 import AsyncIPRoute

from pyfw.config import Config
from pyfw.control.host.policy_routing import FAMILIES
from pyfw.control.uapi.client import Device


async def save(path: Path, config: Config, device: Device) -> None:
    """Replaces a tunnel's file atomically. Raises OSError."""
    index = socket.if_nametoindex(device.name)
    addresses = []
    async with AsyncIPRoute() as ipr:
        (link,) = await ipr.link("get", index=index)
        for family in FAMILIES.values():
            async for found in await ipr.addr("dump", family=family, index=index):
                local = found.get_attr("IFA_LOCAL") or found.get_attr("IFA_ADDRESS")
                addresses.append(f"{local}/{found['prefixlen']}")
    _replace(path, file_text(config, device, addresses, int(link.get_attr("IFLA_MTU"))))


def file_text(config: Config, device: Device, addresses: list[str], mtu: int) -> str:
    """Returns the content of the file: wg-quick's keys from `config`, WireGuard's from `device`."""
    return "\n".join([*_interface(config, device, addresses, mtu), *_peers(device)]) + "\n"


def _interface(config: Config, device: Device, addresses: list[str], mtu: int) -> Iterator[str]:
    interface = config.interface
    yield "[Interface]"
    for address in addresses:
        # The kernel adds a link-local address to every link; saved, it would become a second one.
        is_automatic = ipaddress.ip_interface(address).is_link_local and ":" in address
        if not is_automatic or address in interface.addresses:
            yield f"Address = {address}"
    for entry in interface.dns:
        yield f"DNS = {entry}"
    if interface.mtu is not None:
        yield f"MTU = {mtu}"
    if interface.table != "auto":
        yield f"Table = {interface.table}"
    if interface.save_config:
        yield "SaveConfig = true"
    for key, hooks in (
        ("PreUp", interface.pre_up),
        ("PostUp", interface.post_up),
        ("PreDown", interface.pre_down),
        ("PostDown", interface.post_down),
    ):
        for hook in hooks:
            yield f"{key} = {hook}"
    if device.listen_port:
        yield f"ListenPort = {device.listen_port}"
    if device.fwmark:
        yield f"FwMark = 0x{device.fwmark:x}"
    if device.private_key:
        yield f"PrivateKey = {_base64(device.private_key)}"


def _peers(device: Device) -> Iterator[str]:
    for peer in device.peers:
        yield ""
        yield "[Peer]"
        yield f"PublicKey = {_base64(peer.public_key)}"
        if peer.preshared_key:
            yield f"PresharedKey = {_base64(peer.preshared_key)}"
        if peer.allowed_ips:
            yield f"AllowedIPs = {', '.join(peer.allowed_ips)}"
        if peer.endpoint:
            yield f"Endpoint = {peer.endpoint}"
        if peer.persistent_keepalive:
            yield f"PersistentKeepalive = {peer.persistent_keepalive}"


def _replace(path: Path, content: str) -> None:
    # Replaces the target of a symbolic link, not the link.
    path = path.resolve()
    temporary = path.with_name(f"{path.name}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(descriptor, 0o600)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _base64(key: bytes) -> str:
    return base64.b64encode(key).decode()
