"""`pyfw show`: what daemons say of themselves, as `wg show` prints it, or as JSON."""

import os
import time
from typing import TYPE_CHECKING, Any

import click

from pyfw.cli.group import fail, system_error
from pyfw.cli.show_columns import FIELDS, lines, public_key, text_of

if TYPE_CHECKING:
    from pyfw.control.uapi.client import ShownDevice, ShownPeer


@click.command(name="show", short_help="Show running tunnels, as wg show does.")
@click.argument("interface", default="all")
@click.argument("what", required=False, type=click.Choice(FIELDS), metavar="[FIELD]")
@click.option(
    "--json", "as_json", is_flag=True, help="One object, with counters and what is in force."
)
def show(interface: str, what: str | None, as_json: bool) -> None:
    """Show INTERFACE; all of them, if none is given; or their names: pyfw show interfaces.

    The form is that of wg show. Keys stay hidden in it, unless WG_HIDE_KEYS=never. For programs, FIELD
    chooses what wg show prints of it, in tab-separated columns: public-key, private-key, listen-port,
    fwmark, peers, preshared-keys, endpoints, allowed-ips, latest-handshakes, transfer,
    persistent-keepalive, or dump for all of them.
    """
    from pyfw.control.uapi import client

    if interface == "interfaces":
        click.echo(" ".join(client.interfaces()))
        return
    names = client.interfaces() if interface == "all" else [interface]
    try:
        devices = [client.device(name) for name in names]
        if as_json:
            shown = {
                device.name: _document(device, client.details(device.name)) for device in devices
            }
            _print_json(shown if interface == "all" else shown[interface])
            return
    except (FileNotFoundError, ConnectionRefusedError):
        fail(f"no daemon answers for {interface}: pyfw show interfaces names those that do")
    except OSError as error:
        fail(system_error(error, f"cannot show {interface}"))
    if what is not None:
        for device in devices:
            prefix = f"{device.name}\t" if interface == "all" else ""
            for line in lines(device, what):
                click.echo(prefix + line)
    else:
        now = int(time.time())
        click.echo("\n\n".join(pretty(device, now) for device in devices), nl=bool(devices))


def pretty(device: "ShownDevice", now: int) -> str:
    """As `wg show`, at the Unix time `now`."""
    told = [f"interface: {device.name}"]
    if device.private_key:
        told.append(f"  public key: {public_key(device)}")
        told.append(f"  private key: {_masked(device.private_key)}")
    if device.listen_port:
        told.append(f"  listening port: {device.listen_port}")
    if device.fwmark:
        told.append(f"  fwmark: 0x{device.fwmark:x}")
    # wg sorts by latest handshake, the never-seen last.
    for peer in sorted(device.peers, key=lambda p: -p.last_handshake_ns):
        told += ["", *_pretty_peer(peer, now)]
    return "\n".join(told)


def duration(seconds: int) -> str:
    """1 day, 2 minutes, 3 seconds."""
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
    """Bytes, as wg writes them: 1.50 KiB."""
    if count < 1024:
        return f"{count} B"
    value = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if value < 1024:
            return f"{value:.2f} {unit}"
    return f"{value / 1024:.2f} TiB"


def _pretty_peer(peer: "ShownPeer", now: int) -> list[str]:
    told = [f"peer: {text_of(peer.public_key)}"]
    if peer.preshared_key:
        told.append(f"  preshared key: {_masked(peer.preshared_key)}")
    if peer.endpoint:
        told.append(f"  endpoint: {peer.endpoint}")
    told.append(f"  allowed ips: {', '.join(peer.allowed_ips) or '(none)'}")
    if seconds := peer.last_handshake_ns // 1_000_000_000:
        told.append(f"  latest handshake: {_ago(now - seconds)}")
    if peer.received_bytes or peer.sent_bytes:
        amounts = f"{size(peer.received_bytes)} received, {size(peer.sent_bytes)} sent"
        told.append(f"  transfer: {amounts}")
    if peer.persistent_keepalive:
        told.append(f"  persistent keepalive: every {duration(peer.persistent_keepalive)}")
    return told


def _ago(seconds: int) -> str:
    if seconds == 0:
        return "Now"
    if seconds < 0:
        return "(System clock wound backward; connection problems may ensue.)"
    return f"{duration(seconds)} ago"


def _document(device: "ShownDevice", details: dict[str, Any] | None) -> dict[str, Any]:
    details = details or {}
    counters = {peer["public_key"]: peer["counters"] for peer in details.get("peers", ())}
    return {
        "interface": device.name,
        "public_key": public_key(device) if device.private_key else None,
        "listen_port": device.listen_port,
        "fwmark": device.fwmark,
        "peers": [
            {
                "public_key": text_of(peer.public_key),
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
    return text_of(key) if os.environ.get("WG_HIDE_KEYS") == "never" else "(hidden)"
