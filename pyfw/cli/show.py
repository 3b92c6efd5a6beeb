"""`pyfw show`: shows running tunnels, like `wg show` or as JSON."""

import os
import time
from typing import TYPE_CHECKING, Any

import click

from pyfw.cli.errors import fail, system_error
from pyfw.cli.show_fields import FIELDS, field_lines, key_text, public_key

if TYPE_CHECKING:
    from pyfw.control.uapi.client import Device, Peer


@click.command(name="show", short_help="Show running tunnels, like wg show.")
@click.argument("interface", default="all")
@click.argument("field", required=False, type=click.Choice(FIELDS), metavar="[FIELD]")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object, with counters and facts."
)
def show(interface: str, field: str | None, as_json: bool) -> None:
    """Show INTERFACE, or all interfaces. "pyfw show interfaces" prints their names.

    The format is that of wg show. Keys are hidden, unless WG_HIDE_KEYS=never. FIELD prints one field for
    programs, in tab-separated columns: public-key, private-key, listen-port, fwmark, peers,
    preshared-keys, endpoints, allowed-ips, latest-handshakes, transfer, persistent-keepalive, or dump
    for all of them.
    """
    from pyfw.control.uapi import client

    if interface == "interfaces":
        click.echo(" ".join(client.interfaces()))
        return
    names = client.interfaces() if interface == "all" else [interface]
    try:
        devices = [client.device(name) for name in names]
        if as_json:
            documents = {
                device.name: _document(device, client.details(device.name)) for device in devices
            }
            _print_json(documents if interface == "all" else documents[interface])
            return
    except (FileNotFoundError, ConnectionRefusedError):
        fail(f"no daemon answers for {interface}; pyfw show interfaces lists those that do")
    except OSError as error:
        fail(system_error(error, f"cannot show {interface}"))
    if field is not None:
        for device in devices:
            prefix = f"{device.name}\t" if interface == "all" else ""
            for line in field_lines(device, field):
                click.echo(prefix + line)
    else:
        now = int(time.time())
        click.echo("\n\n".join(pretty(device, now) for device in devices), nl=bool(devices))


def pretty(device: "Device", now: int) -> str:
    """Returns the text of `wg show`. `now`: the Unix time."""
    lines = [f"interface: {device.name}"]
    if device.private_key:
        lines.append(f"  public key: {public_key(device)}")
        lines.append(f"  private key: {_masked(device.private_key)}")
    if device.listen_port:
        lines.append(f"  listening port: {device.listen_port}")
    if device.fwmark:
        lines.append(f"  fwmark: 0x{device.fwmark:x}")
    # In wg's order: by latest handshake, and peers without one last.
    for peer in sorted(device.peers, key=lambda p: -p.last_handshake_ns):
        lines += ["", *_pretty_peer(peer, now)]
    return "\n".join(lines)


def duration(seconds: int) -> str:
    """Returns a duration such as "1 day, 2 minutes, 3 seconds"."""
    parts = []
    for name, length in (
        ("year", 365 * 86_400),
        ("day", 86_400),
        ("hour", 3_600),
        ("minute", 60),
        ("second", 1),
    ):
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count} {name}{'s' if count > 1 else ''}")
    return ", ".join(parts)


def size(count: int) -> str:
    """Returns an amount of bytes such as "1.50 KiB"."""
    if count < 1024:
        return f"{count} B"
    value = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if value < 1024:
            return f"{value:.2f} {unit}"
    return f"{value / 1024:.2f} TiB"


def _pretty_peer(peer: "Peer", now: int) -> list[str]:
    lines = [f"peer: {key_text(peer.public_key)}"]
    if peer.preshared_key:
        lines.append(f"  preshared key: {_masked(peer.preshared_key)}")
    if peer.endpoint:
        lines.append(f"  endpoint: {peer.endpoint}")
    lines.append(f"  allowed ips: {', '.join(peer.allowed_ips) or '(none)'}")
    if seconds := peer.last_handshake_ns // 1_000_000_000:
        lines.append(f"  latest handshake: {_ago(now - seconds)}")
    if peer.received_bytes or peer.sent_bytes:
        amounts = f"{size(peer.received_bytes)} received, {size(peer.sent_bytes)} sent"
        lines.append(f"  transfer: {amounts}")
    if peer.persistent_keepalive:
        lines.append(f"  persistent keepalive: every {duration(peer.persistent_keepalive)}")
    return lines


def _ago(seconds: int) -> str:
    if seconds == 0:
        return "Now"
    if seconds < 0:
        return "(System clock wound backward; connection problems may ensue.)"
    return f"{duration(seconds)} ago"


def _document(device: "Device", details: dict[str, Any] | None) -> dict[str, Any]:
    details = details or {}
    counters = {peer["public_key"]: peer["counters"] for peer in details.get("peers", ())}
    return {
        "interface": device.name,
        "public_key": public_key(device) if device.private_key else None,
        "listen_port": device.listen_port,
        "fwmark": device.fwmark,
        "peers": [
            {
                "public_key": key_text(peer.public_key),
                "has_preshared_key": peer.preshared_key is not None,
                "endpoint": peer.endpoint,
                "allowed_ips": peer.allowed_ips,
                "last_handshake_ns": peer.last_handshake_ns,
                "received_bytes": peer.received_bytes,
                "sent_bytes": peer.sent_bytes,
                "persistent_keepalive": peer.persistent_keepalive,
                "counters": counters.get(peer.public_key.hex()),
            }
            for peer in device.peers
        ],
        "pid": details.get("pid"),
        "counters": details.get("counters"),
        "facts": details.get("facts"),
    }


def _print_json(document: object) -> None:
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(document)).decode())


def _masked(key: bytes) -> str:
    return key_text(key) if os.environ.get("WG_HIDE_KEYS") == "never" else "(hidden)"
