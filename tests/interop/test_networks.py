"""What networks do to a tunnel that is up: it recovers by itself, counts what was lost, and says so once.

A stream of a thousand numbered datagrams a second each way shows the gap.
"""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lab import OUTER, ROUTED, TUNNEL, Implementation, Network, Pair, RoutedNetwork, pyfw_run
from lab.stream import Stream
from tests.interop.conftest import MakePair
from tests.interop.foreign_network import endpoint
from tests.interop.judge import settled

_LOG = 'log_level = "info"'
# A datagram every millisecond: a few are lost while something changes, and a slow machine adds some.
_A_MOMENT_S = 0.25


def ours() -> Any:
    return pyfw_run(_LOG)


@pytest.fixture
def up(make_pair: MakePair, network: Network) -> Pair:
    """pyfw at both ends, and the tunnel is up."""
    for machine in (network.client, network.gateway):
        # An address that goes takes none with it.
        machine.sysctl("net.ipv4.conf.all.promote_secondaries", "1")
    pair = make_pair(ours, ours)
    pair.first_ping_ms()
    pair.first_ping_ms(by="gateway", version=6)
    return pair


def both_ways(pair: Pair, seconds: float, during: Callable[[], object]) -> Stream:
    """A stream between client (one) and gateway (two) while something happens in the middle of it."""
    client, gateway = pair.network.client, pair.network.gateway
    with Stream(client, gateway, TUNNEL["client"].v4, TUNNEL["gateway"].v4) as stream:
        time.sleep(0.5)
        during()
        time.sleep(seconds)
    return stream


def assert_silent_for_at_most(stream: Stream, seconds: float) -> None:
    """In both directions, less what kept the scripts themselves; and nothing came late or twice."""
    for way in (stream.up, stream.down):
        assert way.longest_silence_s - way.own_pause_s < seconds, stream
        assert (way.out_of_order, way.duplicated) == (0, 0), stream


def lines(daemon: Any, message: str) -> list[dict[str, Any]]:
    """The log lines of that name."""
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

    assert_silent_for_at_most(both_ways(up, 1, move), _A_MOMENT_S)
    assert endpoint(up.gateway) == "192.0.2.77:51820"
    assert len(lines(up.gateway, "peer.moved")) == 1


def test_a_gateway_whose_address_changes_is_followed(up: Pair) -> None:
    def move() -> None:
        up.gateway.at.ip("address", "add", "192.0.2.88/24", "dev", "outer")
        up.gateway.at.ip("address", "del", f"{OUTER['gateway'].v4}/24", "dev", "outer")

    assert_silent_for_at_most(both_ways(up, 1, move), _A_MOMENT_S)
    assert endpoint(up.client) == "192.0.2.88:51820"


def test_a_client_roams_from_ipv4_to_ipv6_when_told_so(up: Pair) -> None:
    there = f"[{OUTER['gateway'].v6}]:51820"
    up.client.wg("set", "wg0", "peer", up.keys[1].public, "endpoint", there)
    # A neighbour that does not answer at once is asked again after a second.
    assert up.first_ping_ms() < 2_500
    assert endpoint(up.gateway) == f"[{OUTER['client'].v6}]:51820"
    assert endpoint(up.client) == there


def test_another_listen_port_of_either_end_loses_next_to_nothing(up: Pair) -> None:
    def change() -> None:
        up.client.wg("set", "wg0", "listen-port", "40001")
        time.sleep(0.5)
        up.gateway.wg("set", "wg0", "listen-port", "40002")

    assert_silent_for_at_most(both_ways(up, 0.5, change), _A_MOMENT_S)
    assert endpoint(up.gateway).endswith(":40001")
    assert endpoint(up.client).endswith(":40002")


@pytest.mark.parametrize("threads", [1, 2])
def test_who_restarts_gets_the_answer_to_its_first_packet(
    make_pair: MakePair, threads: int
) -> None:
    # With two threads the path that learns of the new keys is not the one that has to send with them.
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
    """A client behind a router that translates; the gateway does not know where it is."""
    with RoutedNetwork() as network:
        network.router.run("nft", "-f", "-", stdin=_TRANSLATE)
        pair = make_pair(ours, ours, network=network, endpoints=(True, False))
        pair.first_ping_ms()
        yield pair


def test_a_nat_that_forgets_every_half_second_loses_nothing_from_behind_it(
    behind_nat: Pair,
) -> None:
    assert isinstance(behind_nat.network, RoutedNetwork)
    router = behind_nat.network.router

    def forget() -> None:
        for _ in range(3):
            # With its address go its translations: the next datagram gets another port.
            router.run("ip", "-batch", "-", stdin=_RENEW)
            seen.add(endpoint(behind_nat.gateway))
            time.sleep(0.5)

    seen = {endpoint(behind_nat.gateway)}
    stream = both_ways(behind_nat, 0.5, forget)
    assert all(one.startswith(ROUTED["far router"].v4) for one in seen)
    assert len(seen) >= 3
    assert_silent_for_at_most(stream, _A_MOMENT_S)


# Source addresses and routes


def test_a_source_address_that_is_taken_away_is_replaced(make_pair: MakePair) -> None:
    with Network() as network:
        second = "192.0.2.22"
        network.gateway.ip("address", "add", f"{second}/24", "dev", "outer")
        pair = make_pair(ours, ours, network=network, endpoints=(f"{second}:51820", False))
        pair.first_ping_ms()
        assert endpoint(pair.client) == f"{second}:51820"
        stream = both_ways(
            pair, 1, lambda: network.gateway.ip("address", "del", f"{second}/24", "dev", "outer")
        )
        assert_silent_for_at_most(stream, _A_MOMENT_S)
        assert endpoint(pair.client) == f"{OUTER['gateway'].v4}:51820"
        assert len(lines(pair.gateway, "path.source_lost")) == 1
        for daemon in pair.daemons:
            settled(daemon)


@pytest.mark.parametrize("machine", ["client", "gateway"])
def test_a_route_that_is_gone_for_a_second_comes_back(up: Pair, machine: str) -> None:
    network = "192.0.2.0/24"
    daemon = getattr(up, machine)

    def cut() -> None:
        route = daemon.at.ip("route", "show", network).split()
        daemon.at.ip("route", "del", network)
        time.sleep(1)
        daemon.at.ip("route", "add", *route)

    assert_silent_for_at_most(both_ways(up, 0.5, cut), 1 + _A_MOMENT_S)
    counters = settled(daemon)
    assert counters["outbound"]["drops"]["send_error"] > 0
    assert_said_once(daemon)


def test_a_link_that_is_down_for_a_second_comes_back(make_pair: MakePair) -> None:
    # In a network of its own, so that nobody judges the order: who has to find his neighbour again keeps
    # datagrams for it, and on another processor the next ones pass them (net/core/neighbour.c).
    with Network() as network:
        pair = make_pair(ours, ours, network=network)
        pair.first_ping_ms()

        def flap() -> None:
            network.client.ip("link", "set", "outer", "down")
            time.sleep(1)
            network.client.ip("link", "set", "outer", "up")

        stream = both_ways(pair, 1, flap)
        for way in (stream.up, stream.down):
            assert way.longest_silence_s - way.own_pause_s < 1 + 2 * _A_MOMENT_S, stream
            assert way.duplicated == 0, stream
        assert_said_once(pair.client)
        for daemon in pair.daemons:
            settled(daemon)


# What says no


_REFUSE = """
table inet refuse { chain out { type filter hook output priority 0; udp dport 51820 %s; }; }
"""


@pytest.mark.parametrize("verdict", ["drop", "reject"])
def test_a_firewall_that_refuses_for_a_second_is_outlived(up: Pair, verdict: str) -> None:
    def refuse() -> None:
        up.client.at.run("nft", "-f", "-", stdin=_REFUSE % verdict)
        time.sleep(1)
        up.client.at.run("nft", "delete", "table", "inet", "refuse")

    stream = both_ways(up, 0.5, refuse)
    assert_silent_for_at_most(stream, 1 + _A_MOMENT_S)
    assert stream.down.lost == 0
    assert stream.up.lost == settled(up.client)["outbound"]["drops"]["send_error"]
    assert_said_once(up.client)


def test_a_peer_that_is_gone_refuses_and_is_taken_back(up: Pair) -> None:
    # With nobody there its kernel answers with ICMP port unreachable.
    up.gateway.stop()
    up.network.client.run("ping", "-c", "20", "-i", "0.05", TUNNEL["gateway"].v4, check=False)
    assert up.client.process.returncode is None
    up.restart("gateway")
    assert up.first_ping_ms(by="gateway") < 1_000


def test_a_slow_link_neither_spins_nor_grows(up: Pair) -> None:
    # 8 Mbit/s, and a queue that is long enough to fill the socket.
    up.network.client.ip("link", "set", "outer", "txqueuelen", "100000")
    shape = ["root", "tbf", "rate", "8mbit", "burst", "10000", "limit", "100000000"]
    up.network.client.run("tc", "qdisc", "add", "dev", "outer", *shape)
    process = up.client.process
    before, peak = process.cpu_ns(), process.peak_rss_mib()
    ends = (up.network.client, up.network.gateway, TUNNEL["client"].v4, TUNNEL["gateway"].v4)
    with Stream(*ends, per_second=4000, length=1300) as stream:
        time.sleep(3)
    spent_s = (process.cpu_ns() - before) / 1e9
    up.network.client.run("tc", "qdisc", "del", "dev", "outer", "root")
    assert stream.up.out_of_order == 0
    assert stream.up.sent - stream.up.lost > 0
    assert spent_s < 1.5, stream
    assert process.peak_rss_mib() - peak < 32
    up.first_ping_ms()


# The TUN


def test_a_tun_that_is_down_for_a_second_comes_back(up: Pair) -> None:
    client = up.network.client
    routes = client.ip("route", "show", "dev", "wg0").splitlines()

    def flap() -> None:
        client.ip("link", "set", "wg0", "down")
        time.sleep(1)
        client.ip("link", "set", "wg0", "up")
        for route in routes:
            client.ip("route", "replace", *route.split(), "dev", "wg0")

    assert_silent_for_at_most(both_ways(up, 1, flap), 1 + 2 * _A_MOMENT_S)
    counters = settled(up.client)
    assert counters["inbound"]["drops"]["write_error"] > 0
    assert len(lines(up.client, "tun.write_failed")) == 1
    assert up.client.process.returncode is None


def test_a_tun_that_moves_to_another_namespace_goes_on_there(up: Pair) -> None:
    network = up.network
    network.client.ip("link", "set", "wg0", "netns", str(network.server.pid))
    server = network.server
    server.ip("address", "add", f"{TUNNEL['client'].v4}/24", "dev", "wg0")
    server.ip("link", "set", "wg0", "up")
    ping = ["ping", "-n", "-c", "3", "-i", "0.2", "-W", "2", TUNNEL["gateway"].v4]
    assert "3 received" in server.run(*ping).stdout
    # The daemon goes with the link, wherever that is.
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
    pair = make_pair(ours, ours)
    assert pair.first_ping_ms() < 1_000


def assert_said_once(daemon: Any) -> None:
    """One line when sending began to fail, and one when it went again; none for each datagram."""
    failed, again = lines(daemon, "udp.send_failed"), lines(daemon, "udp.send_recovered")
    assert 1 <= len(failed) <= 2, failed
    assert again, "it went again"
