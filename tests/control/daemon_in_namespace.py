"""A daemon with a fake engine over a real TUN, in a network namespace of its own: run by test_daemon.

    python daemon_in_namespace.py SCENARIO DIRECTORY

Prints one JSON object; what it says is judged by the test.
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
AllowedIPs = 10.9.0.0/24, 10.20.0.0/16{everything}
"""


def open_tun(name: str, offloads: Any) -> tuple[int, str, list[str]]:
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    request = struct.pack("16sH22x", name.encode(), _IFF_TUN_NO_PI)
    fcntl.ioctl(descriptor, _TUNSETIFF, request)
    return descriptor, name, []


def ip(*arguments: str) -> Any:
    done = subprocess.run(["ip", "-j", *arguments], capture_output=True, check=True, text=True)
    return json.loads(done.stdout or "[]")


def state() -> dict[str, Any]:
    (link,) = ip("address", "show", "dev", "wg7")
    addresses = [a["local"] for a in link["addr_info"] if a["family"] == "inet"]
    routes = ip("-4", "route", "show", "table", "all", "dev", "wg7")
    return {
        "mtu": link["mtu"],
        "addresses": addresses,
        "routes": [[r["dst"], r.get("table", "main")] for r in routes if r.get("type") is None],
        "rules": [
            [r["priority"], r["table"]] for r in ip("-4", "rule") if 32_000 < r["priority"] < 32_766
        ],
    }


async def during(daemon: Daemon, act: Callable[[], Awaitable[Any]]) -> tuple[Any, int]:
    ready = asyncio.Event()
    running = asyncio.create_task(serve([daemon], on_ready=ready.set))
    await asyncio.wait({running, asyncio.create_task(ready.wait())}, return_when="FIRST_COMPLETED")
    if running.done():
        running.result()
    seen = await act()
    return seen, await running


async def scenario(name: str, directory: Path) -> Any:
    path = directory / "wg7.conf"
    path.write_text(CONF.format(everything=", 0.0.0.0/0" if name == "default" else ""))
    path.chmod(0o600)
    daemon = Daemon("wg7", config.load(path), config_path=path, pipeline=FakePipeline())
    engines: dict[str, FakeEngine] = {}

    async def act() -> Any:
        engine = daemon._tunnel.engine
        assert isinstance(engine, FakeEngine)
        engines["engine"] = engine
        match name:
            case "reload":
                before = state()
                text = CONF.format(everything="").replace("10.20.0.0/16", "10.30.0.0/16")
                path.write_text(text.replace("10.9.0.1/24", "10.9.0.2/24"))
                engine.calls.clear()
                assert await reload([daemon])
                after = state()
                path.write_text("[Interface]\nMTU = x\n")
                refused = not await reload([daemon])
                daemon.stop()
                return {
                    "before": before,
                    "after": after,
                    "refused": refused,
                    "unchanged": state() == after,
                }
            case "link deleted":
                ip("link", "delete", "wg7")
            case "socket deleted":
                socket_path.path_of("wg7").unlink()
            case "mtu":
                ip("link", "set", "wg7", "mtu", "1300")
                await engine.mtu_became(1300)
                daemon.stop()
            case "panic":
                engine.tell(end="panic: index out of bounds")
            case "signal":
                os.kill(os.getpid(), 15)
            case _:
                seen = state() | {"mark": engine.fwmark}
                daemon.stop()
                return seen
        return None

    async with asyncio.timeout(30):
        seen, status = await during(daemon, act)
    rules = [r["priority"] for r in ip("-4", "rule") if 32_000 < r["priority"] < 32_766]
    return {
        "seen": seen,
        "status": status,
        "closed": engines["engine"].closed,
        "rules_left": rules,
        "sockets_left": [entry.name for entry in socket_path.DIRECTORY.iterdir()],
    }


def main() -> None:
    name, directory = sys.argv[1], Path(sys.argv[2])
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
    print(json.dumps(asyncio.run(scenario(name, directory))))


main()
