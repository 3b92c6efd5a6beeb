"""A stage that calls methods of its own tunnel; a script that runs inside a lab's machine.

    python reentrant.py THREADS

Two tunnels in one process talk over loopback; the receiving one has the stage. Each method is called from
`process`, from `tick` and from a thread that `process` starts. Prints one JSON object: the result and
duration of each call, and the counters at the end.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec

import pyfw
from pyfw import Tunnel, _native
from pyfw.config import Settings
from pyfw.observe import log
from tests.interop.two_tunnels import config, packet, packet_socket


class CallsTunnel(pyfw.Stage):
    """Runs a function once, in `process`, in `tick`, or in a thread that `process` starts."""

    direction = "inbound"

    def __init__(self) -> None:
        super().__init__()
        self.tunnel: Tunnel
        self.request: tuple[str, Callable[[], Any]] | None = None
        self.done: list[tuple[str, str, float]] = []

    def process(self, batch: pyfw.FrameBatch) -> None:
        if self.request and self.request[0] != "tick":
            self._run()

    def tick(self, now_ns: int) -> None:
        if self.request:
            self._run()

    def _run(self) -> None:
        assert self.request is not None
        (where, call), self.request = self.request, None
        if where == "thread":
            thread = threading.Thread(target=self._try, args=(call,))
            thread.start()
            thread.join()
        else:
            self._try(call)

    def _try(self, call: Callable[[], Any]) -> None:
        begun = time.monotonic()
        try:
            call()
            kind, text = "", ""
        except BaseException as error:
            kind, text = type(error).__name__, str(error)
        self.done.append((kind, text, time.monotonic() - begun))


class Other(pyfw.Stage):
    """A stage to replace it with."""


def calls(stage: CallsTunnel, configs: Any) -> dict[str, Callable[[], Any]]:
    tunnel = stage.tunnel
    other_peer = pyfw.Peer(public_key=_native.public_key(_native.generate_private_key()))
    more = msgspec.structs.replace(configs[1], peers=(*configs[1].peers, other_peer))

    def syncs() -> None:
        tunnel.sync(more)
        tunnel.sync(configs[1])

    return {
        "counters": tunnel.counters,
        "peers": tunnel.peers,
        "facts": tunnel.facts,
        "sync": lambda: tunnel.sync(configs[1]),
        "set_peer": lambda: tunnel.engine.set_peer(
            configs[1].peers[0].public_key, persistent_keepalive=25
        ),
        "add and remove a peer": syncs,
        "set_mtu": lambda: tunnel.set_mtu(1300),
        "set_listen_port": lambda: tunnel.set_listen_port(configs[1].interface.listen_port),
        "set_fwmark": lambda: tunnel.set_fwmark(1),
        "events": tunnel.engine.events,
        "stage_files": tunnel.stage_files,
        "close": tunnel.close,
        "set_stages to none": lambda: tunnel.set_stages(stages=[]),
        "set_stages to itself": lambda: tunnel.set_stages(stages=[stage]),
        "set_stages to another": lambda: tunnel.set_stages(stages=[Other().named(stage.name)]),
        "set_stages to two": lambda: tunnel.set_stages(stages=[stage, Other()]),
    }


def run(threads: int) -> dict[str, Any]:
    private = [_native.generate_private_key() for _ in range(2)]
    configs = [config(number, private) for number in range(2)]
    stage = CallsTunnel()
    results: dict[str, Any] = {}
    settings = Settings(threads=threads)
    with (
        Tunnel(config=configs[0]) as sender,
        Tunnel(config=configs[1], settings=settings, stages=[stage]) as tunnel,
    ):
        stage.tunnel = tunnel
        for name in ("wg0", "wg1"):
            subprocess.run(["ip", "link", "set", name, "up"], check=True)
        with packet_socket("wg0") as into, packet_socket("wg1") as out:
            number = 0

            def passes() -> bool:
                nonlocal number
                number += 1
                into.sendto(packet(number), ("wg0", 0x0800))
                while True:
                    got = out.recv(2048)
                    if got[9] == 253:
                        return int.from_bytes(got[20:24], "big") == number

            assert passes()
            for where in ("process", "tick", "thread"):
                for name, call in calls(stage, configs).items():
                    if where == "thread" and name in ("close", *_REPLACEMENTS):
                        continue  # would deadlock, because `process` waits for the thread
                    stage.request = (where, call)
                    if where == "tick":
                        stage.wake_at(1)
                    assert passes(), (where, name)
                    deadline = time.monotonic() + 10
                    while len(stage.done) <= len(results):
                        assert time.monotonic() < deadline, (where, name)
                        time.sleep(0.005)
                    assert passes(), (where, name)
                    results[f"{where}: {name}"] = stage.done[-1]
        counters = tunnel.counters().to_dict()
        alive = tunnel.is_open and tunnel.tun_fd >= 0
        sent = sender.counters().to_dict()
    return {
        "calls": results,
        "counters": counters,
        "sender": sent,
        "alive": alive,
        "packets": number,
    }


_REPLACEMENTS = (
    "set_stages to none",
    "set_stages to itself",
    "set_stages to another",
    "set_stages to two",
)

if __name__ == "__main__":
    log.configure("error")
    print(json.dumps(run(int(sys.argv[1]))))
