"""Two daemons and the tunnel between them: keys, configurations, the first handshake."""

import re
import subprocess
import time
from dataclasses import dataclass

from pyfw.demo.daemon import Daemon, Implementation
from pyfw.demo.namespace import Host
from pyfw.demo.network import BEHIND_NETWORKS, TUNNEL, Network

# 1500 less 40 (IPv6), 8 (UDP) and 32 (WireGuard): fits both IP versions outside (wg-quick(8)).
MTU = 1420
PORT = 51820


@dataclass(frozen=True)
class Keys:
    """A key pair in base64."""

    private: str
    public: str

    @classmethod
    def generate(cls) -> "Keys":
        """Returns a new pair."""
        private = _wg("genkey")
        return cls(private, _wg("pubkey", private))


class Pair:
    """Client and gateway with a tunnel between them. The daemons end with the network they run in."""

    def __init__(
        self,
        network: Network,
        client: Implementation,
        gateway: Implementation,
        *,
        outer_version: int = 4,
        preshared: bool = False,
        endpoints: tuple[bool | str, bool | str] = (True, True),
        mtu: int = MTU,
    ) -> None:
        """Starts both daemons and waits until they are up.

        `endpoints`, for client and gateway: whether the configuration has the other one's endpoint, or the
        endpoint itself. `mtu` is the tunnel's.
        """
        self.network = network
        self.keys = (Keys.generate(), Keys.generate())
        self.preshared_key = _wg("genpsk") if preshared else None
        sides = ("client", "gateway")
        self.confs = []
        for index, side in enumerate(sides):
            other = sides[1 - index]
            allowed = [f"{TUNNEL[other].v4}/32", f"{TUNNEL[other].v6}/128"]
            if other == "gateway":
                allowed += [BEHIND_NETWORKS.v4, BEHIND_NETWORKS.v6]
            address = network.outer[other].of(outer_version)
            host = f"[{address}]" if ":" in address else address
            given = endpoints[index]
            self.confs.append(
                _conf(
                    self.keys[index].private,
                    [f"{TUNNEL[side].v4}/32", f"{TUNNEL[side].v6}/128"],
                    self.keys[1 - index].public,
                    allowed,
                    given if isinstance(given, str) else f"{host}:{PORT}" if given else None,
                    self.preshared_key,
                    mtu,
                )
            )
        self.client = client.start(network.client, self.confs[0])
        self.gateway = gateway.start(network.gateway, self.confs[1])
        for daemon in self.daemons:
            daemon.wait_until_up()

    @property
    def daemons(self) -> tuple[Daemon, Daemon]:
        """Client, gateway."""
        return self.client, self.gateway

    def first_ping_ms(self, by: str = "client", version: int = 4) -> float:
        """Sends one ping through the tunnel; the round-trip time of the first includes the handshake."""
        at = self.client.at if by == "client" else self.gateway.at
        to = TUNNEL["gateway" if by == "client" else "client"].of(version)
        return ping_ms(at, to)


def ping_ms(at: Host, address: str, *options: str) -> float:
    """Returns the round-trip time of one ping. Raises RuntimeError if no answer comes."""
    # A new interface may be unreachable for a moment; retry rather than report that.
    deadline = time.monotonic() + 2
    while True:
        done = at.run("ping", "-n", "-c", "1", "-W", "5", *options, address, check=False)
        if found := re.search(r"time=([\d.]+) ms", done.stdout):
            return float(found[1])
        if "nreachable" not in done.stderr or time.monotonic() > deadline:
            raise RuntimeError(f"{at.name}: no answer from {address}: {done.stdout}{done.stderr}")
        time.sleep(0.02)


def _conf(
    private: str,
    addresses: list[str],
    peer: str,
    allowed: list[str],
    endpoint: str | None,
    preshared: str | None,
    mtu: int,
) -> str:
    lines = [
        "[Interface]",
        f"PrivateKey = {private}",
        f"ListenPort = {PORT}",
        f"Address = {', '.join(addresses)}",
        f"MTU = {mtu}",
        "[Peer]",
        f"PublicKey = {peer}",
        f"AllowedIPs = {', '.join(allowed)}",
    ]
    if endpoint is not None:
        lines.append(f"Endpoint = {endpoint}")
    if preshared is not None:
        lines.append(f"PresharedKey = {preshared}")
    return "\n".join(lines) + "\n"


def _wg(command: str, stdin: str = "") -> str:
    return subprocess.run(
        ["wg", command], input=stdin, capture_output=True, text=True, check=True
    ).stdout.strip()
