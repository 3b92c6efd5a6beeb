"""mitmproxy's WireGuard mode as a gateway, for comparison: another way to inspect a tunnel in Python.

It terminates each TCP connection and opens another to the server, where pyfw forwards packets. pyfw is the
client. Installed from PyPI into build/peers.
"""

import json
import subprocess
import sys

from bench.peers import PeerUnavailable
from lab import BEHIND, OUTER, Daemon, Implementation, Network, pyfw_run
from lab.measure import MeasuredTunnel
from lab.measure.tunnel import LOAD_PORT, LoadScript
from lab.peers import PEERS
from pyfw.demo.pair import MTU, PORT, Keys

_DIRECTORY = PEERS / "mitmproxy"
# The client's address, from its documentation.
_CLIENT = "10.0.0.1/32"


def install() -> str:
    """Installs mitmproxy and returns the path of mitmdump. Raises PeerUnavailable."""
    command = _DIRECTORY / "bin" / "mitmdump"
    if command.exists():
        return str(command)
    print("bench: pip install mitmproxy: takes a minute, once", file=sys.stderr)
    pip = [str(_DIRECTORY / "bin" / "pip"), "install", "--quiet", "mitmproxy"]
    for step in ([sys.executable, "-m", "venv", str(_DIRECTORY)], pip):
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise PeerUnavailable(
                f"{' '.join(step)}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}"
            )
    return str(command)


class Mitmproxy:
    """A tunnel from pyfw to mitmproxy; it ends with its network."""

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
        """Returns the throughput of one TCP flow up, as the server receives it."""
        address = BEHIND["server"].v4
        result = MeasuredTunnel(self).run_load(
            seconds,
            LoadScript(self.network.server, "flows", ("serve", address, LOAD_PORT)),
            LoadScript(self.network.client, "flows", ("connect", address, LOAD_PORT, 1, 0)),
        )
        received: int = sum(output["bytes"] for output in result.outputs)
        return received * 8 / seconds / 1e9
