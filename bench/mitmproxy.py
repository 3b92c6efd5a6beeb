"""mitmproxy's WireGuard mode as a gateway, for scale: the other way to see tunnelled traffic in Python.

It ends each TCP connection and opens another one to the server, where pyfw hands on packets. In: pyfw as
client. Out: the throughput of one flow, as the application sees it. Installed from PyPI into build/peers.
"""

import json
import subprocess
import sys
from pathlib import Path

from bench.peers import LeftOut
from lab import BEHIND, OUTER, Daemon, Implementation, Network, pyfw_run
from lab.measure.subject import LOAD_PORT, Party, Subject
from pyfw.demo.pair import MTU, PORT, Keys

_DIRECTORY = Path(__file__).parent.parent / "build" / "peers" / "mitmproxy"
# The address that its documentation gives to the client.
_CLIENT = "10.0.0.1/32"


def install() -> str:
    """Path of mitmdump. Raises LeftOut."""
    command = _DIRECTORY / "bin" / "mitmdump"
    if command.exists():
        return str(command)
    print("bench: pip install mitmproxy: a minute, once", file=sys.stderr)
    pip = [str(_DIRECTORY / "bin" / "pip"), "install", "--quiet", "mitmproxy"]
    for step in ([sys.executable, "-m", "venv", str(_DIRECTORY)], pip):
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LeftOut(
                f"{' '.join(step)}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}"
            )
    return str(command)


class Mitmproxy:
    """A tunnel of pyfw to mitmproxy, up for as long as its network is."""

    def __init__(self, network: Network, command: str) -> None:
        self.network = network
        client, server = Keys.generate(), Keys.generate()
        folder = "/run/mitmproxy"
        network.gateway.run("mkdir", "-p", folder)
        keys = {"server_key": server.private, "client_key": client.private}
        network.gateway.write(f"{folder}/wireguard.conf", json.dumps(keys))
        options = ("--set", f"confdir={folder}", "--set", "flow_detail=0", "--tcp-hosts", ".*")
        run = Implementation("mitmproxy", (command, "--mode", f"wireguard@{PORT}", *options))
        self.gateway = Daemon(network.gateway, run, "")
        self.gateway.process.wait_for("listening", timeout_s=30)
        conf = (
            f"[Interface]\nPrivateKey = {client.private}\nAddress = {_CLIENT}\nMTU = {MTU}\n"
            f"[Peer]\nPublicKey = {server.public}\nAllowedIPs = {BEHIND['server'].v4}/32\n"
            f"Endpoint = {OUTER['gateway'].v4}:{PORT}\n"
        )
        self.client = Daemon(network.client, pyfw_run(), conf).wait_until_up()

    @property
    def daemons(self) -> tuple[Daemon, Daemon]:
        """Client, gateway."""
        return self.client, self.gateway

    def gbit_s(self, seconds: float) -> float:
        """One TCP flow up, as the server gets it."""
        address = BEHIND["server"].v4
        seen = Subject(self).observe(  # type: ignore[arg-type]
            seconds,
            Party(self.network.server, "flows", ("serve", address, LOAD_PORT)),
            Party(self.network.client, "flows", ("connect", address, LOAD_PORT, 1, 0)),
        )
        received: int = sum(end["bytes"] for end in seen.told)
        return received * 8 / seconds / 1e9
