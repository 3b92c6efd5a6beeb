"""Runs daemons with a fake engine over a real TUN, for test_daemon. Needs a network namespace of its own.

    python daemon_in_namespace.py DIRECTORY SCENARIO...

Prints one JSON object with the result of each scenario.
"""

import asyncio
import fcntl
import json
import os
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from pyfw import _native, config
from pyfw.control import Daemon, serve
from pyfw.control.host import undo_log
from pyfw.control.service import reload
from pyfw.control.uapi import socket_path
from tests.fake_engine import FakeEngine, FakePipeline

_TUNSETIFF, _IFF_TUN_NO_PI = 0x4004_54CA, 0x1001
CONF = """\
[Interface]
PrivateKey = AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=
Address = 10.9.0.1/24
ListenPort = 4711
[Peer]
PublicKey = ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=
Endpoint = 192.0.2.9:7
AllowedIPs = 10.9.0.0/24, 10.20.0.0/16{default_route}
"""
# The fake engine closes no descriptor.
tuns: list[int] = []


def open_tun(name: str, offloads: Any) -> tuple[int, str, list[str]]:
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    request = struct.pack("16sH22x", name.encode(), _IFF_TUN_NO_PI)
    fcntl.ioctl(descriptor, _TUNSETIFF, request)
    tuns.append(descriptor)
    return descriptor, name, []


def ip(*arguments: str) -> Any:
    done = subprocess.run(["ip", "-j", *arguments], capture_output=True, check=True, text=True)
    return json.loads(done.stdout or "[]")


def added_rules() -> list[dict[str, Any]]:
    return [rule for rule in ip("-4", "rule") if 32_000 < rule["priority"] < 32_766]


def host_state() -> dict[str, Any]:
    (link,) = ip("address", "show", "dev", "wg7")
    routes = ip("-4", "route", "show", "table", "all", "dev", "wg7")
    return {
        "mtu": link["mtu"],
        "addresses": [a["local"] for a in link["addr_info"] if a["family"] == "inet"],
        "routes": [[r["dst"], r.get("table", "main")] for r in routes if r.get("type") is None],
        "rules": [[rule["priority"], rule["table"]] for rule in added_rules()],
    }


async def run_while(daemon: Daemon, act: Callable[[], Awaitable[Any]]) -> tuple[Any, int]:
    """Runs `act` once the daemon is up. Returns its result and the daemon's exit status."""
    ready = asyncio.Event()
    running = asyncio.create_task(serve([daemon], on_ready=ready.set))
    await asyncio.wait({running, asyncio.create_task(ready.wait())}, return_when="FIRST_COMPLETED")
    if running.done():
        running.result()
    result = await act()
    return result, await running


async def run_scenario(name: str, directory: Path) -> dict[str, Any]:
    path = directory / "wg7.conf"
    path.write_text(CONF.format(default_route=", 0.0.0.0/0" if name == "default route" else ""))
    path.chmod(0o600)
    daemon = Daemon("wg7", config.load(path), config_path=path, pipeline=FakePipeline())
    engines: dict[str, FakeEngine] = {}

    async def act() -> Any:
        engine = daemon._tunnel.engine
        assert isinstance(engine, FakeEngine)
        engines["engine"] = engine
        match name:
            case "reload":
                before = host_state()
                text = CONF.format(default_route="").replace("10.20.0.0/16", "10.30.0.0/16")
                path.write_text(text.replace("10.9.0.1/24", "10.9.0.2/24"))
                engine.calls.clear()
                assert await reload([daemon])
                after = host_state()
                path.write_text("[Interface]\nMTU = x\n")
                assert not await reload([daemon])
                unchanged = host_state() == after
                daemon.stop()
                return {"before": before, "after": after, "unchanged by errors": unchanged}
            case "link deleted":
                ip("link", "delete", "wg7")
            case "socket deleted":
                socket_path.path_of("wg7").unlink()
            case "mtu changed":
                ip("link", "set", "wg7", "mtu", "1300")
                await engine.mtu_became(1300)
                daemon.stop()
            case "panic":
                engine.post(end="panic: index out of bounds")
            case "signal":
                os.kill(os.getpid(), 15)
            case _:
                state = host_state() | {"mark": engine.fwmark}
                daemon.stop()
                return state
        return None

    async with asyncio.timeout(30):
        seen, status = await run_while(daemon, act)
    os.close(tuns.pop())
    return {
        "seen": seen,
        "status": status,
        "engine closed": engines["engine"].closed,
        "rules left": len(added_rules()),
        "sockets left": [entry.name for entry in socket_path.DIRECTORY.iterdir()],
    }


def main() -> None:
    directory, names = Path(sys.argv[1]), sys.argv[2:]
    socket_path.DIRECTORY = directory / "wireguard"
    undo_log.DIRECTORY = directory / "pyfw"
    vars(_native).update(open_tun=open_tun, open_udp=lambda port, mark=0: (-1, -1, port or 4000))
    for command in (
        "link set lo up",
        "link add v0 type veth peer name v1",
        "address add 192.0.2.1/24 dev v0",
        "link set v0 mtu 1400 up",
        "link set v1 up",
    ):
        ip(*command.split())
    print(json.dumps({name: asyncio.run(run_scenario(name, directory)) for name in names}))


main()
