"""Several tunnels between client and gateway; at the gateway they share a process, except one."""

import json
import re
from textwrap import dedent
from typing import Any

from lab import OUTER, Network, Process, Stream, pyfw_run
from pyfw.demo.daemon import details
from pyfw.demo.pair import Keys, ping_ms
from tests.faults.staged_tunnel import assert_details_conserved, wait_until


class Neighbours:
    """The tunnels wg1, wg2, …, running.

    settings: NAME.pyfw.toml of each. files: of the gateway's /run, by name. separate: the tunnel in another
    process.
    """

    def __init__(
        self,
        network: Network,
        settings: dict[str, str],
        files: dict[str, str],
        *,
        separate: str = "",
    ) -> None:
        self.network = network
        self.names = list(settings)
        for name, text in files.items():
            network.gateway.write(f"/run/{name}", dedent(text))
        for name, text in settings.items():
            self._write(name, text)
        shared = [name for name in self.names if name != separate]
        self.process = self._run(shared)
        self.other = self._run([separate]) if separate else None
        self.client = self._start(network.client, self.names)
        for name in self.names:
            ping_ms(network.client, self.address(name, "gateway"))

    def address(self, name: str, side: str) -> str:
        return f"10.{name[2:]}.0.{1 if side == 'client' else 2}"

    def stream(self, name: str, per_second: int = 1000) -> Stream:
        """Numbered datagrams in both directions through a tunnel."""
        client, gateway = (self.address(name, side) for side in ("client", "gateway"))
        port = 5400 + int(name[2:])
        return Stream(
            self.network.client,
            self.network.gateway,
            client,
            gateway,
            per_second=per_second,
            port=port,
        )

    def details(self, name: str, side: str = "gateway") -> dict[str, Any]:
        """A tunnel's details, from its daemon."""
        return details(getattr(self.network, side), name)

    def counters(self, name: str) -> dict[str, Any]:
        counters: dict[str, Any] = self.details(name)["counters"]
        return counters

    def handshake_s(self, name: str) -> int:
        """Unix time of the client's last handshake."""
        shown = self.network.client.run("wg", "show", name, "latest-handshakes").stdout
        return int(shown.split()[1])

    def events(self, message: str, name: str) -> list[dict[str, Any]]:
        """Log lines of the shared process about a tunnel whose message begins like this."""
        lines = re.findall(r"^\{.*\}$", self.process.output(), re.MULTILINE)
        events = [event for event in map(json.loads, lines) if event.get("interface") == name]
        return [event for event in events if event["message"].startswith(message)]

    def assert_unharmed(self, name: str, stream: Stream) -> None:
        """Asserts that a tunnel reordered and duplicated nothing, and lost only what full queues dropped."""
        machines = (self.network.client, self.network.gateway)
        in_queues = sum(sum(machine.counters().queue_drops(name).values()) for machine in machines)
        for side in ("client", "gateway"):
            counters = self.details(name, side)["counters"]
            ways = (counters["inbound"], counters["outbound"])
            in_queues += sum(way["drops"].get("congested", 0) for way in ways)
        assert stream.up.lost + stream.down.lost <= in_queues, (name, stream)
        for way in (stream.up, stream.down):
            assert (way.out_of_order, way.duplicated) == (0, 0), (name, stream)

    def assert_conserved(self) -> None:
        """Asserts that each daemon runs and accounts for every packet, at both ends."""
        for process in (self.process, self.client, self.other):
            assert process is None or process.returncode is None, process.output()
        for name in self.names:
            for side in ("gateway", "client"):
                assert_details_conserved(lambda: self.details(name, side), f"{name}, {side}")  # noqa: B023

    def _write(self, name: str, settings: str) -> None:
        client, gateway = Keys.generate(), Keys.generate()
        port = 4000 + int(name[2:])
        network = f"10.{name[2:]}.0.0/24"
        self.network.client.write(
            f"/run/{name}.conf",
            f"[Interface]\nPrivateKey = {client.private}\n"
            f"Address = {self.address(name, 'client')}/24\n"
            f"[Peer]\nPublicKey = {gateway.public}\nAllowedIPs = {network}\n"
            f"Endpoint = {OUTER['gateway'].v4}:{port}\n",
        )
        self.network.gateway.write(
            f"/run/{name}.conf",
            f"[Interface]\nPrivateKey = {gateway.private}\nListenPort = {port}\n"
            f"Address = {self.address(name, 'gateway')}/24\n"
            f"[Peer]\nPublicKey = {client.public}\nAllowedIPs = {network}\n",
        )
        self.network.gateway.write(f"/run/{name}.pyfw.toml", dedent(settings))

    def _run(self, names: list[str]) -> Process:
        return self._start(self.network.gateway, names)

    def _start(self, machine: Any, names: list[str]) -> Process:
        command = pyfw_run().command[:-1]
        process: Process = machine.start(*command, *(f"/run/{name}.conf" for name in names))
        wait_until(lambda: process.output().count('"message":"tunnel.started"') == len(names), 15)
        return process
