"""Who sends into the tunnel what cannot go there is told so by ICMP, as the kernel's WireGuard does it."""

import time
from collections.abc import Iterator

import pytest

from lab import TUNNEL, Host, Network, Pair, pyfw_run
from tests.interop.foreign_network import ForeignNetwork
from tests.interop.judge import judge, settled

# Routed to the tunnel, and nobody's.
NOWHERE = {4: "10.66.0.1", 6: "fd66::1"}
_SAID = {4: "Destination Host Unreachable", 6: "Address unreachable"}


@pytest.fixture(scope="module", params=[1, 2], ids=["one thread", "two threads"])
def up(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """pyfw at both ends, and ways into the tunnel that lead nowhere; shared, and judged in the end."""
    ours = pyfw_run(f"threads = {request.param}")
    with Network() as network:
        pair = Pair(network, ours, ours)
        pair.first_ping_ms()
        lead_nowhere(pair.client.at)
        yield pair
        judge(pair)


def lead_nowhere(machine: Host) -> None:
    for version, address in NOWHERE.items():
        machine.ip(f"-{version}", "route", "add", address, "dev", "wg0")


def told(text: str, version: int) -> bool:
    """Whether ping was told; busybox' and iputils' say it in the same words."""
    return _SAID[version] in text


def ping(at: Host, address: str, count: int = 1, interval_s: float = 0.2) -> str:
    """What ping says."""
    command = ["ping", "-n", "-c", str(count), "-i", str(interval_s), "-W", "1", address]
    done = at.run(*command, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("version", [4, 6])
def test_no_peer_is_host_unreachable(up: Pair, version: int) -> None:
    assert _SAID[version] in ping(up.client.at, NOWHERE[version])
    counters = settled(up.client)
    assert counters["outbound"]["drops"]["no_route"] >= 1
    assert counters["inbound"]["created"] >= 1


@pytest.mark.parametrize("version", [4, 6])
def test_no_endpoint_is_host_unreachable(up: Pair, version: int) -> None:
    # A peer that has never been heard of, and that nobody said where it is.
    stranger = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
    up.client.wg("set", "wg0", "peer", stranger, "allowed-ips", ",".join(NOWHERE.values()))
    assert _SAID[version] in ping(up.client.at, NOWHERE[version])
    up.client.wg("set", "wg0", "peer", stranger, "remove")
    assert settled(up.client)["outbound"]["drops"]["no_endpoint"] >= 1


def test_a_connection_to_nowhere_fails_at_once(up: Pair) -> None:
    connect = (
        "import socket, time; started = time.monotonic()\n"
        f"try: socket.create_connection(({NOWHERE[4]!r}, 80), timeout=10)\n"
        "except OSError as error: print(error.errno, time.monotonic() - started)"
    )
    said = up.network.client.run("python3", "-c", connect).stdout.split()
    assert int(said[0]) == 113, "EHOSTUNREACH"
    # TCP believes an error at the first retransmission at the latest (RFC 1122 §4.2.3.9).
    assert float(said[1]) < 4


def test_who_is_behind_the_gateway_is_told_as_well(up: Pair) -> None:
    before = settled(up.gateway)["inbound"]["created"]
    up.network.gateway.ip("route", "add", NOWHERE[4], "dev", "wg0")
    assert _SAID[4] in ping(up.network.server, NOWHERE[4])
    assert settled(up.gateway)["inbound"]["created"] == before + 1


def test_a_flood_to_nowhere_is_told_twenty_times_a_second(up: Pair) -> None:
    before = settled(up.client)["inbound"]["created"]
    started = time.monotonic()
    ping(up.client.at, NOWHERE[4], count=1000, interval_s=0.002)
    took = time.monotonic() - started
    answers = settled(up.client)["inbound"]["created"] - before
    assert 5 <= answers <= 5 + 20 * (took + 0.5)
    # Others are not kept from being answered.
    assert ping(up.client.at, TUNNEL["gateway"].v4).count(" 0% packet loss") == 1


def test_errors_and_groups_are_not_answered(up: Pair) -> None:
    client = up.network.client
    client.ip("route", "add", "239.1.1.1", "dev", "wg0")
    before = settled(up.client)
    client.run("python3", "-c", _SEND % ("239.1.1.1",))
    after = settled(up.client)
    dropped = [counters["outbound"]["drops"].get("no_route", 0) for counters in (before, after)]
    assert dropped[1] > dropped[0]
    assert after["inbound"]["created"] == before["inbound"]["created"]


_SEND = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
    datagrams.sendto(b"to many", ("%s", 9))
"""


def test_the_kernel_and_every_other_way_of_being_told_are_the_same(
    foreign_network: ForeignNetwork,
) -> None:
    if foreign_network.foreign.name != "kernel":
        pytest.skip("only the kernel's WireGuard answers")
    pair = foreign_network.pair()
    pair.first_ping_ms()
    found = []
    for daemon in pair.daemons:
        lead_nowhere(daemon.at)
        found.append([told(ping(daemon.at, NOWHERE[version]), version) for version in (4, 6)])
    assert found == [[True, True], [True, True]]
