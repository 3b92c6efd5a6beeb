"""Packets that cannot enter the tunnel are answered with an ICMP error, as by the kernel's WireGuard."""

import time
from collections.abc import Iterator

import pytest

from lab import TUNNEL, Host, Network, Pair, pyfw_run
from tests.interop.foreign_network import ForeignNetwork
from tests.interop.invariants import assert_invariants, settled_counters

# Routed to the tunnel, but to no peer.
UNROUTED = {4: "10.66.0.1", 6: "fd66::1"}
_UNREACHABLE = {4: "Destination Host Unreachable", 6: "Address unreachable"}


@pytest.fixture(scope="module", params=[1, 2], ids=["one thread", "two threads"])
def up(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """A shared pair of pyfw, with routes into the tunnel that lead to no peer; judged at the end."""
    pyfw = pyfw_run(f"threads = {request.param}")
    with Network() as network:
        pair = Pair(network, pyfw, pyfw)
        pair.first_ping_ms()
        add_unrouted(pair.client.at)
        yield pair
        assert_invariants(pair)


def add_unrouted(machine: Host) -> None:
    for version, address in UNROUTED.items():
        machine.ip(f"-{version}", "route", "add", address, "dev", "wg0")


def is_unreachable(text: str, version: int) -> bool:
    """Whether ping reports an unreachable host, in busybox' and iputils' words."""
    return _UNREACHABLE[version] in text


def ping(at: Host, address: str, count: int = 1, interval_s: float = 0.2) -> str:
    """Returns the output of ping."""
    command = ["ping", "-n", "-c", str(count), "-i", str(interval_s), "-W", "1", address]
    done = at.run(*command, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("version", [4, 6])
def test_without_a_peer_the_host_is_unreachable(up: Pair, version: int) -> None:
    assert _UNREACHABLE[version] in ping(up.client.at, UNROUTED[version])
    counters = settled_counters(up.client)
    assert counters["outbound"]["drops"]["no_route"] >= 1
    assert counters["inbound"]["created"] >= 1


@pytest.mark.parametrize("version", [4, 6])
def test_without_an_endpoint_the_host_is_unreachable(up: Pair, version: int) -> None:
    silent_peer = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
    up.client.wg("set", "wg0", "peer", silent_peer, "allowed-ips", ",".join(UNROUTED.values()))
    assert _UNREACHABLE[version] in ping(up.client.at, UNROUTED[version])
    up.client.wg("set", "wg0", "peer", silent_peer, "remove")
    assert settled_counters(up.client)["outbound"]["drops"]["no_endpoint"] >= 1


def test_a_connection_without_a_peer_fails_at_once(up: Pair) -> None:
    connect = (
        "import socket, time; started = time.monotonic()\n"
        f"try: socket.create_connection(({UNROUTED[4]!r}, 80), timeout=10)\n"
        "except OSError as error: print(error.errno, time.monotonic() - started)"
    )
    output = up.network.client.run("python3", "-c", connect).stdout.split()
    assert int(output[0]) == 113, "EHOSTUNREACH"
    # TCP reports the error at the first retransmission at the latest (RFC 1122 §4.2.3.9).
    assert float(output[1]) < 4


def test_hosts_behind_the_gateway_are_answered(up: Pair) -> None:
    before = settled_counters(up.gateway)["inbound"]["created"]
    up.network.gateway.ip("route", "add", UNROUTED[4], "dev", "wg0")
    assert _UNREACHABLE[4] in ping(up.network.server, UNROUTED[4])
    assert settled_counters(up.gateway)["inbound"]["created"] == before + 1


def test_errors_are_limited_to_twenty_a_second(up: Pair) -> None:
    before = settled_counters(up.client)["inbound"]["created"]
    started = time.monotonic()
    ping(up.client.at, UNROUTED[4], count=1000, interval_s=0.002)
    took = time.monotonic() - started
    answers = settled_counters(up.client)["inbound"]["created"] - before
    assert 5 <= answers <= 5 + 20 * (took + 0.5)
    # Other traffic is not affected.
    assert ping(up.client.at, TUNNEL["gateway"].v4).count(" 0% packet loss") == 1


def test_multicast_is_not_answered(up: Pair) -> None:
    client = up.network.client
    client.ip("route", "add", "239.1.1.1", "dev", "wg0")
    before = settled_counters(up.client)
    client.run("python3", "-c", _SEND % ("239.1.1.1",))
    after = settled_counters(up.client)
    dropped = [counters["outbound"]["drops"].get("no_route", 0) for counters in (before, after)]
    assert dropped[1] > dropped[0]
    assert after["inbound"]["created"] == before["inbound"]["created"]


_SEND = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
    datagrams.sendto(b"to many", ("%s", 9))
"""


def test_the_kernel_answers_the_same(
    foreign_network: ForeignNetwork,
) -> None:
    if foreign_network.foreign.name != "kernel":
        pytest.skip("other implementations send no ICMP errors")
    pair = foreign_network.pair()
    pair.first_ping_ms()
    found = []
    for daemon in pair.daemons:
        add_unrouted(daemon.at)
        found.append(
            [is_unreachable(ping(daemon.at, UNROUTED[version]), version) for version in (4, 6)]
        )
    assert found == [[True, True], [True, True]]
