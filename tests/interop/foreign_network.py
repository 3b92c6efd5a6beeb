"""A network with pyfw as client and another WireGuard as gateway, shared by several tests."""

import json
import sys
from pathlib import Path
from typing import Any

from lab import OUTER, Daemon, Implementation, Network, Pair, Process, pyfw_run, pyfw_wg
from lab import relay as relay_script
from tests.interop.invariants import assert_invariants

# Where the relay listens for pyfw, and for the gateway.
_NEAR, _FAR = "127.0.0.1:7001", f"{OUTER['client'].v4}:7002"
_RELAY = [sys.executable, "-P", str(Path(relay_script.__file__))]
_PORT = 51820


class ForeignNetwork:
    """Makes one pair of daemons a test. A test may change the client's address and firewall."""

    def __init__(self, network: Network, foreign: Implementation) -> None:
        self.network = network
        self.foreign = foreign
        self._pair: Pair | None = None
        self._relay: Process | None = None

    def pair(self, pyfw: Implementation | None = None, **options: Any) -> Pair:
        """Starts both daemons; the tunnel has no session yet."""
        assert self._pair is None, "one pair a test"
        self._pair = Pair(self.network, pyfw or pyfw_wg(), self.foreign, **options)
        return self._pair

    def pair_with_key_log(self, path: Path, **options: Any) -> Pair:
        """Starts both daemons; pyfw logs the secrets of its handshakes to a file."""
        return self.pair(pyfw_run(f"key_log = {json.dumps(str(path))}"), **options)

    def relayed_pair(self, *options: str) -> tuple[Pair, Process]:
        """Starts both daemons, each with the relay as endpoint of the other."""
        gateway = f"{OUTER['gateway'].v4}:{_PORT}"
        ends = ["--near", f"127.0.0.1:{_PORT}", "--far", gateway]
        self._relay = self.network.client.start(*_RELAY, _NEAR, _FAR, *ends, *options)
        self._relay.wait_for("relaying")
        return self.pair(endpoints=(_NEAR, _FAR)), self._relay

    def end(self) -> None:
        """Judges and stops the pair, and restores the client's addresses and firewall."""
        pair, self._pair = self._pair, None
        try:
            if pair is not None:
                assert_invariants(pair)
        finally:
            if self._relay is not None:
                self._relay.stop()
            if pair is not None:
                pair.stop()
            client = self.network.client
            client.ip("address", "flush", "dev", "outer", "scope", "global")
            client.ip("address", "add", f"{OUTER['client'].v4}/24", "dev", "outer")
            client.ip("address", "add", f"{OUTER['client'].v6}/64", "dev", "outer", "nodad")
            client.run("nft", "flush", "ruleset", check=False)


def stop_relay(relay: Process) -> dict[str, Any]:
    """Stops a relay, and returns its report."""
    relay.stop()
    report: dict[str, Any] = json.loads(relay.output().partition("relaying\n")[2])
    return report


def endpoint(daemon: Daemon) -> str:
    """Returns the endpoint of the daemon's only peer."""
    return daemon.wg("show", "wg0", "endpoints").split()[1]


def latest_handshake(daemon: Daemon) -> int:
    """Returns the Unix time of the only peer's latest handshake; 0 if there was none."""
    return int(daemon.wg("show", "wg0", "latest-handshakes").split()[1])


def received_bytes(daemon: Daemon) -> int:
    """Returns the bytes received from the only peer."""
    return int(daemon.wg("show", "wg0", "transfer").split()[1])
