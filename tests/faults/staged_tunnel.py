"""A tunnel whose gateway runs a stage, which a test writes as text; the client is a plain pyfw.

Traffic goes between the two ends of the tunnel. What the stage does to it is counted by the stage, by the
path, and by the sender and receiver.
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


class StagedTunnel:
    """Both daemons, running.

    source: of the file with the stage, class `It`. table: more keys of its `[[stages]]`. settings: lines
    above the table. stages: tables behind it. options: of `pyfw run`.
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
        network.gateway.write(STAGE_FILE, dedent(source))
        gateway = pyfw_run(settings_of(table, threads=threads, settings=settings, stages=stages))
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
        """Brings the session up with a ping."""
        self.pair.first_ping_ms()

    def stream(self, per_second: int = 1000) -> Stream:
        """Numbered datagrams in both directions, between the ends of the tunnel."""
        client, gateway = self.network.client, self.network.gateway
        addresses = TUNNEL["client"].v4, TUNNEL["gateway"].v4
        return Stream(client, gateway, *addresses, per_second=per_second)

    def handshake_s(self) -> int:
        """Unix time of the client's last handshake; 0: none."""
        return int(self.client.wg("show", "wg0", "latest-handshakes").split()[1])

    # The stage

    def rewrite(self, source: str) -> None:
        """Writes another version of the stage."""
        self.network.gateway.write(STAGE_FILE, dedent(source))

    def reload(self, source: str | None = None) -> bool:
        """Sends SIGHUP, after writing another version of the stage. Returns whether it was accepted."""
        if source is not None:
            self.rewrite(source)
        before = len(self.events("reload."))
        self.gateway.process.signal(signal.SIGHUP)
        wait_until(lambda: len(self.events("reload.")) > before, 10)
        return bool(self.events("reload.")[-1]["message"] == "reload.applied")

    def events(self, message: str) -> list[dict[str, Any]]:
        """Lines of the gateway's log whose message begins like this."""
        return [line for line in log(self.gateway) if line["message"].startswith(message)]

    @property
    def counters(self) -> dict[str, Any]:
        return self.gateway.counters()

    @property
    def stage_counts(self) -> dict[str, Any]:
        """The stage's counters."""
        counts: dict[str, Any] = self.counters["stages"]["stages"]["It"]
        return counts

    # Assertions

    def assert_unharmed(self, stream: Stream) -> None:
        """Asserts that the tunnel lost, duplicated and reordered nothing of a stream.

        On a busy machine queues overflow; what the kernels or CoDel dropped is counted there and may be
        missing.
        """
        in_queues = queue_drops(self.pair)
        for daemon in self.pair.daemons:
            reasons = set(drops(daemon.counters()))
            allowed = {"outbound.no_route", "outbound.congested", "inbound.congested"}
            assert reasons <= allowed, (reasons, stream)
        for way in (stream.up, stream.down):
            assert (way.out_of_order, way.duplicated, way.refused) == (0, 0, 0), stream
        assert stream.up.lost + stream.down.lost == in_queues, (in_queues, stream)

    def assert_conserved(self) -> None:
        """Asserts that both daemons, if running, account for every packet and that none was late."""
        assert_conserved(self.client)
        if not self.ended:
            assert_conserved(self.gateway)

    def wait_for_end(self, timeout_s: float = 10) -> int:
        """Waits until the gateway has ended by itself. Returns its exit status."""
        self.ended = True
        wait_until(lambda: self.gateway.process.returncode is not None, timeout_s)
        assert self.gateway.process.returncode is not None
        return self.gateway.process.returncode


def settings_of(table: str, *, threads: int = 1, settings: str = "", stages: str = "") -> str:
    """A NAME.pyfw.toml with the stage."""
    use = '[[stages]]\nuse = "stage.py:It"\n'
    return f"threads = {threads}\n{settings}{use}{dedent(table)}\n{dedent(stages)}"


def assert_conserved(daemon: Daemon) -> dict[str, Any]:
    """Asserts that a daemon runs and accounts for every packet. Returns its counters."""
    assert daemon.process.returncode is None, daemon.process.output()
    return assert_details_conserved(daemon.details, daemon.at.name)


def assert_details_conserved(ask: Callable[[], dict[str, Any]], name: str) -> dict[str, Any]:
    """Like assert_conserved, for the details of one tunnel; asks again until no packet is queued."""
    deadline = time.monotonic() + _SETTLE_S
    while True:
        details = ask()
        counters: dict[str, Any] = details["counters"]
        wrong = imbalances(counters) + _peer_imbalances(details)
        stages = counters.get("stages", {}).get("stages", {}).values()
        held = sum(counts["held_segments"] for counts in stages)
        queued = counters["outbound"]["queued"] + counters["inbound"]["queued"]
        if not wrong and queued == held:
            assert late(counters) == 0, name
            return counters
        assert time.monotonic() < deadline, f"{name}: {wrong}, {counters}"
        time.sleep(0.05)


def _peer_imbalances(details: dict[str, Any]) -> list[str]:
    wrong = []
    for peer in details["peers"]:
        for way, row in peer["counters"].items():
            entered = row["entered"] + row["created"]
            accounted = row["left"] + row["queued"] + sum(row["drops"].values())
            if entered != accounted:
                wrong.append(f"{peer['public_key']}, {way}: {row}")
    return wrong


def log(daemon: Daemon) -> list[dict[str, Any]]:
    """The complete lines of a daemon's log."""
    lines = daemon.process.output().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]


def wait_until(condition: Any, timeout_s: float, every_s: float = 0.02) -> None:
    """Waits until a condition holds; fails after the timeout."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"timed out: {condition}"
        time.sleep(every_s)
