"""The lab itself: machines that reach each other, and leave nothing behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import BEHIND, OUTER, Namespace, Network, unavailable
from pyfw.demo.pair import ping_ms
from pyfw.demo.transfer import TransferServer, datagrams
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
def test_a_flow_behind_the_gateway_does_not_wait_for_its_neighbours_address(
    network: Network, version: int
) -> None:
    # Waiting packets are overtaken by the one that comes as the address does: see `_introduce`.
    for machine, other in ((network.gateway, "server"), (network.server, "gateway")):
        known = machine.ip("neighbour", "show", "nud", "permanent").splitlines()
        assert any(line.startswith(BEHIND[other].of(version) + " ") for line in known), known


def test_cables_are_steered_or_polled_as_they_are_asked_for(
    network: Network, capfd: pytest.CaptureFixture[str]
) -> None:
    assert [received_by(end) for end in outer_ends(network)] == [("1", False)] * 2
    with Network(napi=True) as polled:
        if "goes on steering" in capfd.readouterr().err:
            pytest.skip("a kernel that cannot forward merged UDP (before 5.13)")
        assert [received_by(end) for end in outer_ends(polled)] == [("0", True)] * 2
        serving = TransferServer(polled.gateway, OUTER["gateway"].v4)
        assert serving.transfer(polled.client, "up", 40_000_001).sha256_equal


def outer_ends(network: Network) -> tuple[Namespace, Namespace]:
    return network.client, network.gateway


def received_by(machine: Namespace) -> tuple[str, bool]:
    """The CPUs that `outer` steers to, in hexadecimal, and whether it merges UDP as it forwards it."""
    steering = machine.run("cat", "/sys/class/net/outer/queues/rx-0/rps_cpus").stdout.strip()
    asked = [sys.executable, "-c", _MERGES, "outer"]
    return steering, machine.run(*asked).stdout.strip() == "True"


_MERGES = """
import sys
from pyroute2 import Ethtool
with Ethtool() as ethtool:
    print(ethtool.get_features(sys.argv[1]).features["rx-udp-gro-forwarding"].enable)
"""


def test_the_client_has_no_way_to_the_server_but_a_tunnel(network: Network) -> None:
    ping = network.client.run("ping", "-c", "1", BEHIND["server"].v4, check=False)
    assert "Network is unreachable" in ping.stderr


def test_machines_keep_their_files_to_themselves(network: Network) -> None:
    network.client.write("/run/secret.conf", "PrivateKey")
    assert network.client.has("/run/secret.conf")
    assert not network.gateway.has("/run/secret.conf")
    assert not Path("/run/secret.conf").exists()


def test_a_failure_is_told_in_the_commands_own_words(network: Network) -> None:
    with pytest.raises(RuntimeError, match=r"client: ip link show nosuch: .*does not exist"):
        network.client.ip("link", "show", "nosuch")


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_transfer_is_judged_by_both_digests(network: Network, direction: str) -> None:
    serving = TransferServer(network.server, BEHIND["server"].v4)
    transfer = serving.transfer(network.gateway, direction, 40_000_001)
    serving.stop()
    assert transfer.sha256_equal
    assert len(transfer.received_sha256) == 64
    assert transfer.bytes == 40_000_001


def test_datagrams_are_judged_with_their_ecn(network: Network) -> None:
    address = BEHIND["server"].v6
    result = datagrams(network.gateway, network.server, address, 100, ecn="0,1,2,3")
    assert result.difference is None
    assert result.received_ecn == {"0": 25, "1": 25, "2": 25, "3": 25}


def test_the_page_has_many_resources_that_arrive_as_they_were_made(network: Network) -> None:
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
        assert runs(sleeper.pid)
    assert sleeper.returncode == -signal.SIGTERM
    assert not any(Path(f"/proc/{pid}").exists() for pid in holders)


KILLED = """
import signal
from lab import Network
network = Network()
sleeper = network.server.start("sleep", "1000")
print(sleeper.pid, *(machine.pid for machine in network.machines), flush=True)
signal.pause()
"""


def test_nothing_outlives_a_killed_lab() -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True) as lab:
        assert lab.stdout is not None
        pids = [int(pid) for pid in lab.stdout.readline().split()]
        assert len(pids) == 4
        lab.kill()
    deadline = time.monotonic() + 5
    while any(runs(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def runs(pid: int) -> bool:
    """Whether a process runs: one that has ended may still wait for init to ask after it."""
    try:
        os.kill(pid, 0)
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False
