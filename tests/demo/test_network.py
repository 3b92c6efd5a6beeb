"""The demo's network: machines that reach each other and leave nothing behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyfw.demo.namespace import unavailable
from pyfw.demo.network import BEHIND, OUTER, Network
from pyfw.demo.pair import ping_ms
from pyfw.demo.transfer import TransferServer
from pyfw.demo.web import WebServer

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(unavailable() is not None, reason=f"no namespaces: {unavailable()}"),
]


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with Network() as network:
        yield network


@pytest.mark.parametrize("version", [4, 6])
def test_neighbours_reach_each_other(network: Network, version: int) -> None:
    ping_ms(network.client, OUTER["gateway"].of(version))
    ping_ms(network.server, BEHIND["gateway"].of(version))


@pytest.mark.parametrize("version", [4, 6])
def test_neighbours_behind_the_gateway_are_static(network: Network, version: int) -> None:
    # Otherwise neighbour discovery reorders a flow's first packets: see `_add_static_neighbours`.
    for machine, other in ((network.gateway, "server"), (network.server, "gateway")):
        entries = machine.ip("neighbour", "show", "nud", "permanent").splitlines()
        address = BEHIND[other].of(version)
        assert any(entry.startswith(f"{address} ") for entry in entries), entries


def test_client_reaches_the_server_only_through_a_tunnel(network: Network) -> None:
    ping = network.client.run("ping", "-c", "1", BEHIND["server"].v4, check=False)
    assert "Network is unreachable" in ping.stderr


def test_machines_have_their_own_run(network: Network) -> None:
    network.client.write("/run/secret.conf", "PrivateKey")
    assert network.client.has("/run/secret.conf")
    assert not network.gateway.has("/run/secret.conf")
    assert not Path("/run/secret.conf").exists()


def test_failed_command_is_reported_with_its_output(network: Network) -> None:
    with pytest.raises(RuntimeError, match=r"client: ip link show nosuch: .*does not exist"):
        network.client.ip("link", "show", "nosuch")


@pytest.mark.parametrize("direction", ["up", "down"])
def test_transfer_has_both_digests(network: Network, direction: str) -> None:
    server = TransferServer(network.server, BEHIND["server"].v4)
    # More than one block of 16 MiB, and not a multiple of it.
    transfer = server.transfer(network.gateway, direction, 20_000_001)
    server.stop()
    assert transfer.sha256_equal
    assert len(transfer.received_sha256) == 64
    assert transfer.bytes == 20_000_001


def test_page_arrives_unchanged(network: Network) -> None:
    web = WebServer(network.server, BEHIND["server"].v4)
    page = web.load(network.gateway)
    web.stop()
    assert page.resources >= 30
    assert page.bytes > 1_000_000
    assert page.sha256_equal


def test_processes_end_with_their_machine() -> None:
    with Network() as network:
        sleeper = network.client.start("sleep", "1000")
        holders = [machine.pid for machine in network.machines]
        assert is_running(sleeper.pid)
    assert sleeper.returncode == -signal.SIGTERM
    assert not any(Path(f"/proc/{pid}").exists() for pid in holders)


_SCRIPT = """
import signal
from pyfw.demo.network import Network
network = Network()
sleeper = network.server.start("sleep", "1000")
print(sleeper.pid, *(machine.pid for machine in network.machines), flush=True)
signal.pause()
"""


def test_nothing_outlives_a_killed_network() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _SCRIPT], stdout=subprocess.PIPE, text=True
    ) as script:
        assert script.stdout is not None
        pids = [int(pid) for pid in script.stdout.readline().split()]
        assert len(pids) == 4
        script.kill()
    deadline = time.monotonic() + 5
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Whether a process runs; a zombie that init has not reaped yet does not."""
    try:
        os.kill(pid, 0)
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False
