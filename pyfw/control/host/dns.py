"""Sets name servers and search domains of a tunnel through whatever manages them on this machine.

    resolvconf   the command, called as wg-quick does, unless it is a link to systemd's resolvectl resolved
    systemd-resolved over D-Bus, if /etc/resolv.conf leads to it: servers of the link, for all names file
    /etc/resolv.conf itself, see resolv_conf

In all three the tunnel's servers take precedence over others, as with wg-quick.
"""

import asyncio
import ipaddress
import re
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

from pyfw.control.host import resolv_conf
from pyfw.control.host.step_reporter import StepReporter

_RESOLVED = (
    "org.freedesktop.resolve1",
    "/org/freedesktop/resolve1",
    "org.freedesktop.resolve1.Manager",
)
# systemd-resolved.service(8): the addresses of its stub resolvers.
_STUBS = ("127.0.0.53", "127.0.0.54")
_INTERFACE_ORDER = Path("/etc/resolvconf/interface-order")


async def set_(name: str, entries: Sequence[str], backend: str, steps: StepReporter) -> None:
    """Sets addresses and search domains, in their order. Raises OSError."""
    servers, domains = split(entries)
    match backend:
        case "resolvconf":
            text = "".join(f"nameserver {server}\n" for server in servers)
            if domains:
                text += f"search {' '.join(domains)}\n"
            command = ["resolvconf", "-a", _resolvconf_name(name), "-m", "0", "-x"]
            await _run(command, steps, stdin=text)
        case "resolved":
            index = str(socket.if_nametoindex(name))
            await _resolved(steps, "SetLinkDNS", "ia(iay)", index, *_server_arguments(servers))
            # "." as a routing domain: all names are resolved through this link.
            routed = [*((domain, "false") for domain in domains), (".", "true")]
            flat = [part for pair in routed for part in pair]
            await _resolved(steps, "SetLinkDomains", "ia(sb)", index, str(len(routed)), *flat)
            await _resolved(steps, "SetLinkDefaultRoute", "ib", index, "true")
        case _:
            steps.step(f"printf 'nameserver %s\\n' {' '.join(servers)} > {resolv_conf.PATH}")
            resolv_conf.add(name, servers, domains)


async def unset(name: str, backend: str, steps: StepReporter) -> None:
    """Restores the previous name servers; also after a crash. Raises OSError."""
    match backend:
        case "resolvconf":
            await _run(["resolvconf", "-d", _resolvconf_name(name), "-f"], steps)
        case "resolved":
            try:
                index = str(socket.if_nametoindex(name))
            except OSError:
                return  # removed with the link
            await _resolved(steps, "RevertLink", "i", index)
        case _:
            if resolv_conf.remove(name):
                steps.step(f"restore {resolv_conf.PATH}")
            else:
                text = f"{resolv_conf.PATH} was changed by another program and is left as it is"
                steps.warning("dns.not_restored", text)


def detect_backend() -> str:
    """Returns what manages name servers here: resolvconf, resolved or file."""
    command = shutil.which("resolvconf")
    if command and Path(command).resolve().name not in ("resolvectl", "systemd-resolve"):
        return "resolvconf"
    if shutil.which("busctl") and _leads_to_resolved():
        return "resolved"
    return "file"


def split(entries: Sequence[str]) -> tuple[list[str], list[str]]:
    """Splits DNS entries into addresses of servers and search domains."""
    servers = [entry for entry in entries if _is_address(entry)]
    return servers, [entry for entry in entries if entry not in servers]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _leads_to_resolved() -> bool:
    if "systemd/resolve" in str(resolv_conf.PATH.resolve()):
        return True
    try:
        text = resolv_conf.PATH.read_text(errors="replace")
    except OSError:
        return False
    return any(line.split()[1:2] == [stub] for line in text.splitlines() for stub in _STUBS)


def _resolvconf_name(name: str) -> str:
    # Debian's resolvconf orders by name; like wg-quick, use the first prefix that ends with an asterisk.
    try:
        lines = _INTERFACE_ORDER.read_text(errors="replace").splitlines()
    except OSError:
        return name
    prefixes = (re.fullmatch(r"([A-Za-z0-9-]+)\*", line.strip()) for line in lines)
    return next((f"{match[1]}.{name}" for match in prefixes if match), name)


def _server_arguments(servers: Sequence[str]) -> list[str]:
    arguments = [str(len(servers))]
    for server in servers:
        address = ipaddress.ip_address(server)
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        arguments += [str(int(family)), str(len(address.packed)), *map(str, address.packed)]
    return arguments


async def _resolved(steps: StepReporter, method: str, signature: str, *arguments: str) -> None:
    await _run(["busctl", "call", *_RESOLVED, method, signature, *arguments], steps)


async def _run(command: Sequence[str], steps: StepReporter, stdin: str = "") -> None:
    steps.step(" ".join(command))
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError as error:
        raise OSError(error.errno, f"{command[0]} is not installed") from None
    _, stderr = await process.communicate(stdin.encode())
    if process.returncode != 0:
        reason = " ".join(stderr.decode(errors="replace").split())
        raise OSError(f"{command[0]}: {reason or f'exit {process.returncode}'}")
