"""A stage that calls back into its own tunnel; a script that runs inside a lab's machine.

    python reentrant.py THREADS

Two tunnels of one process talk over loopback; the receiving one has the stage. For each thing that a stage
may think of, a packet is sent that has it done. Prints one JSON object: what came of each, how long it took,
and what was counted at the end.
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


class Asks(pyfw.Stage):
    """Does what it is told with its tunnel, once, in `process` or `tick`, itself or by another thread."""

    direction = "inbound"

    def __init__(self) -> None:
        super().__init__()
        self.tunnel: Tunnel
        self.ask: tuple[str, Callable[[], Any]] | None = None
        self.done: list[tuple[str, str, float]] = []

    def process(self, batch: pyfw.FrameBatch) -> None:
        if self.ask and self.ask[0] != "tick":
            self._do()

    def tick(self, now_ns: int) -> None:
        if self.ask:
            self._do()

    def _do(self) -> None:
        assert self.ask is not None
        (how, call), self.ask = self.ask, None
        if how == "thread":
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
    """What it may be exchanged for."""


def asks(stage: Asks, configs: Any) -> dict[str, Callable[[], Any]]:
    tunnel = stage.tunnel
    stranger = pyfw.Peer(public_key=_native.public_key(_native.generate_private_key()))
    more = msgspec.structs.replace(configs[1], peers=(*configs[1].peers, stranger))

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
    stage = Asks()
    told: dict[str, Any] = {}
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
            for how in ("process", "tick", "thread"):
                for name, call in asks(stage, configs).items():
                    if how == "thread" and name in ("close", *_EXCHANGES):
                        continue  # that is nobody's business but the thread's
                    stage.ask = (how, call)
                    if how == "tick":
                        stage.wake_at(1)
                    assert passes(), (how, name)
                    deadline = time.monotonic() + 10
                    while len(stage.done) <= len(told):
                        assert time.monotonic() < deadline, (how, name)
                        time.sleep(0.005)
                    assert passes(), (how, name)
                    told[f"{how}: {name}"] = stage.done[-1]
        counters = tunnel.counters().to_dict()
        alive = tunnel.is_open and tunnel.tun_fd >= 0
        sent = sender.counters().to_dict()
    return {"told": told, "counters": counters, "sender": sent, "alive": alive, "packets": number}


_EXCHANGES = (
    "set_stages to none",
    "set_stages to itself",
    "set_stages to another",
    "set_stages to two",
)

if __name__ == "__main__":
    log.configure("error")
    print(json.dumps(run(int(sys.argv[1]))))
