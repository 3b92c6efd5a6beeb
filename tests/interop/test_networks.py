"""Changes of the network below a tunnel: it recovers, counts what was lost, and logs each change once.

A stream of 1,000 numbered datagrams a second each way measures the interruption.
"""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lab import OUTER, ROUTED, TUNNEL, Implementation, Network, Pair, RoutedNetwork, pyfw_run
from lab.resource_usage import cpu_ns, peak_rss_mib
from lab.stream import Stream
from tests.interop.conftest import MakePair
from tests.interop.foreign_network import endpoint
from tests.interop.invariants import settled_counters

_LOG = 'log_level = "info"'
# Room for a few lost datagrams, and for a slow machine.
_TOLERANCE_S = 0.25


def pyfw() -> Any:
    return pyfw_run(_LOG)


@pytest.fixture
def up(make_pair: MakePair, network: Network) -> Pair:
    """A pair of pyfw with a session."""
    for machine in (network.client, network.gateway):
        # Deleting an address must not delete others.
        machine.sysctl("net.ipv4.conf.all.promote_secondaries", "1")
    pair = make_pair(pyfw, pyfw)
    pair.first_ping_ms()
    pair.first_ping_ms(by="gateway", version=6)
    return pair


def stream_during(pair: Pair, seconds: float, change: Callable[[], object]) -> Stream:
    """Returns a stream between client (one) and gateway (two), in the middle of which `change` is called."""
    client, gateway = pair.network.client, pair.network.gateway
    with Stream(client, gateway, TUNNEL["client"].v4, TUNNEL["gateway"].v4) as stream:
        time.sleep(0.5)
        change()
        time.sleep(seconds)
    return stream


def assert_interrupted_for_at_most(stream: Stream, seconds: float) -> None:
    """Asserts it for both directions, without pauses of the scripts; and no reordering, no duplicates."""
    for way in (stream.up, stream.down):
        assert way.longest_silence_s - way.own_pause_s < seconds, stream
        assert (way.out_of_order, way.duplicated) == (0, 0), stream


def events(daemon: Any, message: str) -> list[dict[str, Any]]:
    """Returns the log events of this name."""
    found = []
    for line in daemon.process.output().splitlines():
        record = json.loads(line)
        if record["message"] == message:
            found.append(record)
    return found


# Roaming


def test_a_client_whose_address_changes_is_followed(up: Pair) -> None:
    def move() -> None:
        up.client.at.ip("address", "add", "192.0.2.77/24", "dev", "outer")
        up.client.at.ip("address", "del", f"{OUTER['client'].v4}/24", "dev", "outer")

    assert_interrupted_for_at_most(stream_during(up, 1, move), _TOLERANCE_S)
    assert endpoint(up.gateway) == "192.0.2.77:51820"
    assert len(events(up.gateway, "peer.moved")) == 1


def test_a_gateway_whose_address_changes_is_followed(up: Pair) -> None:
    def move() -> None:
        up.gateway.at.ip("address", "add", "192.0.2.88/24", "dev", "outer")
        up.gateway.at.ip("address", "del", f"{OUTER['gateway'].v4}/24", "dev", "outer")

    assert_interrupted_for_at_most(stream_during(up, 1, move), _TOLERANCE_S)
    assert endpoint(up.client) == "192.0.2.88:51820"


def test_a_client_changes_from_ipv4_to_ipv6(up: Pair) -> None:
    endpoint_v6 = f"[{OUTER['gateway'].v6}]:51820"
    up.client.wg("set", "wg0", "peer", up.keys[1].public, "endpoint", endpoint_v6)
    # Neighbour discovery may be retried after a second.
    assert up.first_ping_ms() < 2_500
    assert endpoint(up.gateway) == f"[{OUTER['client'].v6}]:51820"
    assert endpoint(up.client) == endpoint_v6


def test_a_new_listen_port_of_either_end_is_followed(up: Pair) -> None:
    def change() -> None:
        up.client.wg("set", "wg0", "listen-port", "40001")
        time.sleep(0.5)
        up.gateway.wg("set", "wg0", "listen-port", "40002")

    assert_interrupted_for_at_most(stream_during(up, 0.5, change), _TOLERANCE_S)
    assert endpoint(up.gateway).endswith(":40001")
    assert endpoint(up.client).endswith(":40002")


@pytest.mark.parametrize("threads", [1, 2])
def test_the_first_packet_after_a_restart_is_answered(make_pair: MakePair, threads: int) -> None:
    # With two threads, one receives the new keys, and the other must send with them.
    def with_threads() -> Implementation:
        return pyfw_run(f"threads = {threads}")

    pair = make_pair(with_threads, with_threads)
    pair.first_ping_ms()
    for side in ("gateway", "client", "gateway"):
        pair.restart(side)
        assert pair.first_ping_ms(by=side) < 1_000


# NAT


_TRANSLATE = """
table ip nat {
    chain leaving { type nat hook postrouting priority 100; oifname "far" masquerade random; }
}
"""
_RENEW = f"""
address del {ROUTED["far router"].v4}/24 dev far
address add {ROUTED["far router"].v4}/24 dev far
"""


@pytest.fixture
def behind_nat(make_pair: MakePair) -> Iterator[Pair]:
    """A client behind a router with NAT; the gateway has no endpoint."""
    with RoutedNetwork() as network:
        network.router.run("nft", "-f", "-", stdin=_TRANSLATE)
        pair = make_pair(pyfw, pyfw, network=network, endpoints=(True, False))
        pair.first_ping_ms()
        yield pair


def test_a_nat_that_loses_its_state_is_followed(
    behind_nat: Pair,
) -> None:
    assert isinstance(behind_nat.network, RoutedNetwork)
    router = behind_nat.network.router

    def reset() -> None:
        for _ in range(3):
            # Deleting the address deletes its translations: the next datagram gets another port.
            router.run("ip", "-batch", "-", stdin=_RENEW)
            seen.add(endpoint(behind_nat.gateway))
            time.sleep(0.5)

    seen = {endpoint(behind_nat.gateway)}
    stream = stream_during(behind_nat, 0.5, reset)
    assert all(one.startswith(ROUTED["far router"].v4) for one in seen)
    assert len(seen) >= 3
    assert_interrupted_for_at_most(stream, _TOLERANCE_S)


# Source addresses and routes


def test_a_deleted_source_address_is_replaced(make_pair: MakePair) -> None:
    with Network() as network:
        second = "192.0.2.22"
        network.gateway.ip("address", "add", f"{second}/24", "dev", "outer")
        pair = make_pair(pyfw, pyfw, network=network, endpoints=(f"{second}:51820", False))
        pair.first_ping_ms()
        assert endpoint(pair.client) == f"{second}:51820"
        stream = stream_during(
            pair, 1, lambda: network.gateway.ip("address", "del", f"{second}/24", "dev", "outer")
        )
        assert_interrupted_for_at_most(stream, _TOLERANCE_S)
        assert endpoint(pair.client) == f"{OUTER['gateway'].v4}:51820"
        assert len(events(pair.gateway, "path.source_lost")) == 1
        for daemon in pair.daemons:
            settled_counters(daemon)


@pytest.mark.parametrize("machine", ["client", "gateway"])
def test_a_route_that_is_missing_for_a_second(up: Pair, machine: str) -> None:
    network = "192.0.2.0/24"
    daemon = getattr(up, machine)

    def cut() -> None:
        route = daemon.at.ip("route", "show", network).split()
        daemon.at.ip("route", "del", network)
        time.sleep(1)
        daemon.at.ip("route", "add", *route)

    assert_interrupted_for_at_most(stream_during(up, 0.5, cut), 1 + _TOLERANCE_S)
    counters = settled_counters(daemon)
    assert counters["outbound"]["drops"]["send_error"] > 0
    assert_logged_once(daemon)


def test_a_link_that_is_down_for_a_second(make_pair: MakePair) -> None:
    # In a network of its own, which is not judged: datagrams that wait for neighbour discovery may be
    # overtaken by those of another processor (net/core/neighbour.c).
    with Network() as network:
        pair = make_pair(pyfw, pyfw, network=network)
        pair.first_ping_ms()

        def flap() -> None:
            network.client.ip("link", "set", "outer", "down")
            time.sleep(1)
            network.client.ip("link", "set", "outer", "up")

        stream = stream_during(pair, 2, flap)
        for way in (stream.up, stream.down):
            # A second more if the first neighbour solicitation is lost.
            assert way.longest_silence_s - way.own_pause_s < 2 + 2 * _TOLERANCE_S, stream
            assert way.duplicated == 0, stream
        assert_logged_once(pair.client)
        for daemon in pair.daemons:
            settled_counters(daemon)


# Refusals


_REFUSE = """
table inet refuse { chain out { type filter hook output priority 0; udp dport 51820 %s; }; }
"""


@pytest.mark.parametrize("verdict", ["drop", "reject"])
def test_a_firewall_that_refuses_for_a_second(up: Pair, verdict: str) -> None:
    def refuse() -> None:
        up.client.at.run("nft", "-f", "-", stdin=_REFUSE % verdict)
        time.sleep(1)
        up.client.at.run("nft", "delete", "table", "inet", "refuse")

    stream = stream_during(up, 0.5, refuse)
    assert_interrupted_for_at_most(stream, 1 + _TOLERANCE_S)
    assert stream.down.lost == 0
    assert stream.up.lost == settled_counters(up.client)["outbound"]["drops"]["send_error"]
    assert_logged_once(up.client)


def test_a_peer_that_is_down_can_come_back(up: Pair) -> None:
    # Meanwhile its kernel answers with ICMP port unreachable.
    up.gateway.stop()
    up.network.client.run("ping", "-c", "20", "-i", "0.05", TUNNEL["gateway"].v4, check=False)
    assert up.client.process.returncode is None
    up.restart("gateway")
    assert up.first_ping_ms(by="gateway") < 1_000


def test_a_slow_link_costs_neither_cpu_nor_memory(up: Pair) -> None:
    # 8 Mbit/s, and a queue that is long enough to fill the socket buffer.
    up.network.client.ip("link", "set", "outer", "txqueuelen", "100000")
    shape = ["root", "tbf", "rate", "8mbit", "burst", "10000", "limit", "100000000"]
    up.network.client.run("tc", "qdisc", "add", "dev", "outer", *shape)
    process = up.client.process
    before, peak = cpu_ns(process.pid), peak_rss_mib(process.pid)
    ends = (up.network.client, up.network.gateway, TUNNEL["client"].v4, TUNNEL["gateway"].v4)
    with Stream(*ends, per_second=4000, length=1300) as stream:
        time.sleep(3)
    spent_s = (cpu_ns(process.pid) - before) / 1e9
    up.network.client.run("tc", "qdisc", "del", "dev", "outer", "root")
    assert stream.up.out_of_order == 0
    assert stream.up.sent - stream.up.lost > 0
    assert spent_s < 1.5, stream
    assert peak_rss_mib(process.pid) - peak < 32
    up.first_ping_ms()


# The TUN


def test_a_tun_that_is_down_for_a_second(up: Pair) -> None:
    client = up.network.client
    routes = client.ip("route", "show", "dev", "wg0").splitlines()

    def flap() -> None:
        client.ip("link", "set", "wg0", "down")
        time.sleep(1)
        client.ip("link", "set", "wg0", "up")
        for route in routes:
            client.ip("route", "replace", *route.split(), "dev", "wg0")

    assert_interrupted_for_at_most(stream_during(up, 1, flap), 1 + 2 * _TOLERANCE_S)
    counters = settled_counters(up.client)
    assert counters["inbound"]["drops"]["write_error"] > 0
    assert len(events(up.client, "tun.write_failed")) == 1
    assert up.client.process.returncode is None


def test_a_tun_can_move_to_another_namespace(up: Pair) -> None:
    network = up.network
    network.client.ip("link", "set", "wg0", "netns", str(network.server.pid))
    server = network.server
    server.ip("address", "add", f"{TUNNEL['client'].v4}/24", "dev", "wg0")
    server.ip("link", "set", "wg0", "up")
    ping = ["ping", "-n", "-c", "3", "-i", "0.2", "-W", "2", TUNNEL["gateway"].v4]
    assert "3 received" in server.run(*ping).stdout
    # The daemon ends with the link in any namespace.
    server.ip("link", "del", "wg0")
    deadline = time.monotonic() + 1
    while up.client.process.returncode is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    up.restart("client")


# IPv6


def test_without_ipv6_the_tunnel_runs_over_ipv4(make_pair: MakePair, network: Network) -> None:
    for machine in (network.client, network.gateway):
        assert machine.sysctl("net.ipv6.conf.all.disable_ipv6", "1")
    pair = make_pair(pyfw, pyfw)
    assert pair.first_ping_ms() < 1_000


def assert_logged_once(daemon: Any) -> None:
    """Asserts one event when sending starts to fail, and one when it recovers."""
    failed, recovered = events(daemon, "udp.send_failed"), events(daemon, "udp.send_recovered")
    assert 1 <= len(failed) <= 2, failed
    assert recovered
