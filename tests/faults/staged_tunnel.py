"""A tunnel whose gateway has a stage: written as text, run by `pyfw run`, judged at the end.

The client is a plain pyfw. Traffic goes between the two ends of the tunnel; what the gateway's stage does to
it is counted three times: by the stage, by the path, and by who sent and received.
"""

import json
import signal
import time
from collections.abc import Callable
from textwrap import dedent
from typing import Any

from lab import TUNNEL, Daemon, Network, Pair, Stream, pyfw_run
from lab.counter_checks import imbalances
from pyfw.demo.daemon_counters import drops, late
from tests.interop.invariants import queue_drops

STAGE_FILE = "/run/stage.py"
SETTINGS_FILE = "/run/wg0.pyfw.toml"
_SETTLE_S = 3.0


class Staged:
    """Both daemons, from the first handshake on.

    source: of the file that holds class `It`. table: more keys of its `[[stages]]`. settings: lines above it.
    stages: tables that follow it.
    """

    def __init__(
        self,
        network: Network,
        source: str,
        table: str = "",
        *,
        threads: int = 1,
        settings: str = "",
        stages: str = "",
        options: tuple[str, ...] = (),
    ) -> None:
        self.network = network
        self.settings = settings_of(table, threads=threads, settings=settings, stages=stages)
        network.gateway.write(STAGE_FILE, dedent(source))
        gateway = pyfw_run(self.settings)
        if options:
            command = (*gateway.command[:-1], *options, gateway.command[-1])
            gateway = type(gateway)(**{**vars(gateway), "command": command})
        self.pair = Pair(network, pyfw_run(), gateway)
        self.ended = False

    @property
    def gateway(self) -> Daemon:
        return self.pair.gateway

    @property
    def client(self) -> Daemon:
        return self.pair.client

    # Traffic

    def ping(self) -> None:
        """Brings up the session; asks for an answer."""
        self.pair.first_ping_ms()

    def shake_hands(self) -> None:
        """Brings up the session, with nothing that a stage would see."""
        self.network.client.run("ping", "-c1", "-W1", "10.77.0.99", check=False)
        keepalive = ("set", "wg0", "peer", self.pair.keys[1].public, "persistent-keepalive")
        self.client.wg(*keepalive, "1")
        wait_until(lambda: self.handshake_s() > 0, 10)
        self.client.wg(*keepalive, "0")

    def stream(self, per_second: int = 1000) -> Stream:
        """Numbered datagrams each way, between the ends of the tunnel."""
        one, two = self.network.client, self.network.gateway
        addresses = TUNNEL["client"].v4, TUNNEL["gateway"].v4
        return Stream(one, two, *addresses, per_second=per_second)

    def handshake_s(self, daemon: Daemon | None = None) -> int:
        """When the last one was, Unix seconds; 0: never. As the client, or another, has it."""
        return int((daemon or self.client).wg("show", "wg0", "latest-handshakes").split()[1])

    # The stage

    def rewrite(self, source: str) -> None:
        """Another version of the stage."""
        self.network.gateway.write(STAGE_FILE, dedent(source))

    def reload(self, source: str | None = None) -> bool:
        """SIGHUP, with another version of the stage; says whether it was taken."""
        if source is not None:
            self.rewrite(source)
        before = len(self.said("reload"))
        self.gateway.process.signal(signal.SIGHUP)
        wait_until(lambda: len(self.said("reload")) > before, 10)
        return bool(self.said("reload")[-1]["message"] == "reload.applied")

    def said(self, message: str) -> list[dict[str, Any]]:
        """The gateway's log: the lines whose message begins so."""
        return [line for line in log(self.gateway) if line["message"].startswith(message)]

    @property
    def counters(self) -> dict[str, Any]:
        return self.gateway.counters()

    @property
    def it(self) -> dict[str, Any]:
        """What the stage counted."""
        counted: dict[str, Any] = self.counters["stages"]["stages"]["It"]
        return counted

    # Judgement

    def unharmed(self, stream: Stream) -> None:
        """Asserts that the tunnel lost nothing of it, doubled and reordered nothing.

        A machine that is busy with other things lets queues stand: what its kernel, or CoDel, then took is
        told by those who took it, and nobody else may have taken any.
        """
        taken = queue_drops(self.pair)
        for daemon in self.pair.daemons:
            named = set(drops(daemon.counters()))
            ours = {"outbound.no_route", "outbound.congested", "inbound.congested"}
            assert named <= ours, (named, stream)
        for way in (stream.up, stream.down):
            assert (way.out_of_order, way.duplicated, way.refused) == (0, 0, 0), stream
        assert stream.up.lost + stream.down.lost == taken, (taken, stream)

    def judge(self) -> None:
        """Asserts that nothing vanished, for no peer, and that nothing was late, once nothing is queued."""
        judge(self.client)
        if not self.ended:
            judge(self.gateway)

    def wait_for_end(self, timeout_s: float = 10) -> int:
        """Until the gateway has ended by itself; its exit status."""
        self.ended = True
        wait_until(lambda: self.gateway.process.returncode is not None, timeout_s)
        assert self.gateway.process.returncode is not None
        return self.gateway.process.returncode


def settings_of(table: str, *, threads: int = 1, settings: str = "", stages: str = "") -> str:
    """A NAME.pyfw.toml with the stage."""
    use = '[[stages]]\nuse = "stage.py:It"\n'
    return f"threads = {threads}\n{settings}{use}{dedent(table)}\n{dedent(stages)}"


def judge(daemon: Daemon) -> dict[str, Any]:
    """Asserts that a daemon runs and accounts for every packet once nothing is queued; its counters."""
    assert daemon.process.returncode is None, daemon.process.output()
    return judge_details(daemon.details, daemon.at.name)


def judge_details(ask: Callable[[], dict[str, Any]], name: str) -> dict[str, Any]:
    """The same of what a daemon tells of one tunnel, asked again until nothing is under way."""
    deadline = time.monotonic() + _SETTLE_S
    while True:
        details = ask()
        counters: dict[str, Any] = details["counters"]
        wrong = imbalances(counters) + _of_peers(details)
        held = sum(row["held_segments"] for row in _stages(counters))
        if not wrong and queued(counters) == held:
            assert late(counters) == 0, name
            return counters
        assert time.monotonic() < deadline, f"{name}: {wrong}, {counters}"
        time.sleep(0.05)


def queued(counters: dict[str, Any]) -> int:
    """Segments under way, both ways."""
    return int(counters["outbound"]["queued"] + counters["inbound"]["queued"])


def _stages(counters: dict[str, Any]) -> list[dict[str, Any]]:
    return list(counters.get("stages", {}).get("stages", {}).values())


def _of_peers(details: dict[str, Any]) -> list[str]:
    found = []
    for peer in details["peers"]:
        for way, row in peer["counters"].items():
            came = row["entered"] + row["created"]
            went = row["left"] + row["queued"] + sum(row["drops"].values())
            if came != went:
                found.append(f"{peer['public_key']}, {way}: {row}")
    return found


def log(daemon: Daemon) -> list[dict[str, Any]]:
    """What it has logged; a line that is still being written is left out."""
    lines = daemon.process.output().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]


def wait_until(condition: Any, timeout_s: float, every_s: float = 0.02) -> None:
    """Until it holds; asserts that it does in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"it did not come to be: {condition}"
        time.sleep(every_s)
