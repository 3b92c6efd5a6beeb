"""Several tunnels between client and gateway: at the gateway in one process, but for one that has its own."""

import json
import re
from textwrap import dedent
from typing import Any

from lab import OUTER, Network, Process, Stream, pyfw_run
from pyfw.demo.daemon import details
from pyfw.demo.pair import Keys, ping_ms
from tests.faults.staged_tunnel import judge_details, wait_until


class Neighbours:
    """Tunnels wg1, wg2, …, each with a NAME.pyfw.toml of its own; `apart` names the one in another process.

    files: of the gateway's /run, by name.
    """

    def __init__(
        self,
        network: Network,
        settings: dict[str, str],
        files: dict[str, str],
        *,
        apart: str = "",
    ) -> None:
        self.network = network
        self.names = list(settings)
        for name, text in files.items():
            network.gateway.write(f"/run/{name}", dedent(text))
        for name, text in settings.items():
            self._write(name, text)
        together = [name for name in self.names if name != apart]
        self.process = self._run(together)
        self.other = self._run([apart]) if apart else None
        self.client = self._start(network.client, self.names)
        for name in self.names:
            ping_ms(network.client, self.address(name, "gateway"))

    def address(self, name: str, side: str) -> str:
        return f"10.{name[2:]}.0.{1 if side == 'client' else 2}"

    def stream(self, name: str, per_second: int = 1000) -> Stream:
        """Numbered datagrams each way through that tunnel."""
        one, two = (self.address(name, side) for side in ("client", "gateway"))
        port = 5400 + int(name[2:])
        return Stream(
            self.network.client, self.network.gateway, one, two, per_second=per_second, port=port
        )

    def details(self, name: str, side: str = "gateway") -> dict[str, Any]:
        """What the daemon tells of a tunnel."""
        return details(getattr(self.network, side), name)

    def counters(self, name: str) -> dict[str, Any]:
        counters: dict[str, Any] = self.details(name)["counters"]
        return counters

    def handshake_s(self, name: str) -> int:
        """When the last one was, as the client has it."""
        told = self.network.client.run("wg", "show", name, "latest-handshakes").stdout
        return int(told.split()[1])

    def said(self, message: str, name: str) -> list[dict[str, Any]]:
        """Lines of the gateway's process about a tunnel."""
        lines = re.findall(r"^\{.*\}$", self.process.output(), re.MULTILINE)
        found = [json.loads(line) for line in lines]
        return [x for x in found if x["message"].startswith(message) and x.get("interface") == name]

    def judge(self) -> None:
        """All of them, at both ends."""
        for process in (self.process, self.client, self.other):
            assert process is None or process.returncode is None, process.output()
        for name in self.names:
            for side in ("gateway", "client"):
                judge_details(lambda: self.details(name, side), f"{name}, {side}")  # noqa: B023

    def _write(self, name: str, settings: str) -> None:
        ours, theirs = Keys.generate(), Keys.generate()
        port = 4000 + int(name[2:])
        network = f"10.{name[2:]}.0.0/24"
        self.network.client.write(
            f"/run/{name}.conf",
            f"[Interface]\nPrivateKey = {ours.private}\n"
            f"Address = {self.address(name, 'client')}/24\n"
            f"[Peer]\nPublicKey = {theirs.public}\nAllowedIPs = {network}\n"
            f"Endpoint = {OUTER['gateway'].v4}:{port}\n",
        )
        self.network.gateway.write(
            f"/run/{name}.conf",
            f"[Interface]\nPrivateKey = {theirs.private}\nListenPort = {port}\n"
            f"Address = {self.address(name, 'gateway')}/24\n"
            f"[Peer]\nPublicKey = {ours.public}\nAllowedIPs = {network}\n",
        )
        self.network.gateway.write(f"/run/{name}.pyfw.toml", dedent(settings))

    def _run(self, names: list[str]) -> Process:
        return self._start(self.network.gateway, names)

    def _start(self, machine: Any, names: list[str]) -> Process:
        command = pyfw_run().command[:-1]
        process: Process = machine.start(*command, *(f"/run/{name}.conf" for name in names))
        wait_until(lambda: process.output().count('"message":"tunnel.started"') == len(names), 15)
        return process
