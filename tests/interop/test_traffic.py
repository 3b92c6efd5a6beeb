"""Traffic of all kinds through a tunnel that is up arrives unchanged and in order."""

import re

import pytest

from lab import BEHIND, TUNNEL, Pair
from lab.datagrams import send_datagrams
from pyfw.demo.transfer import TransferServer
from tests.interop.invariants import tcp_in_order

_BULK = 20 << 20


@pytest.mark.parametrize("version", [4, 6])
def test_tcp_bulk_arrives_unchanged_and_in_order(tunnel: Pair, version: int) -> None:
    client, server = tunnel.network.client, tunnel.network.server
    transfers = TransferServer(server, BEHIND["server"].of(version))
    for direction, receiver in (("up", server), ("down", client)):
        with tcp_in_order(tunnel, receiver):
            transfer = transfers.transfer(client, direction, _BULK)
        assert transfer.sha256_equal, direction
    transfers.stop()


@pytest.mark.parametrize("version", [4, 6])
def test_udp_of_every_length_arrives_unchanged_and_in_order(tunnel: Pair, version: int) -> None:
    network, address = tunnel.network, BEHIND["server"].of(version)
    # 577, the stride through the lengths, and 1400 have no common divisor, so every length is sent.
    result = send_datagrams(network.client, network.server, address, 1400, lengths="1-1400")
    assert result.difference is None


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_equal_small_datagrams_arrive_in_order(tunnel: Pair, version: int, direction: str) -> None:
    network = tunnel.network
    ends = (network.client, network.gateway)
    source, sink = ends if direction == "up" else ends[::-1]
    address = TUNNEL["gateway" if direction == "up" else "client"].of(version)
    result = send_datagrams(source, sink, address, 2000, lengths="64-64")
    assert result.difference is None


@pytest.mark.parametrize("version", [4, 6])
def test_ecn_is_kept_and_does_not_reorder(tunnel: Pair, version: int) -> None:
    network, address = tunnel.network, BEHIND["server"].of(version)
    result = send_datagrams(
        network.client, network.server, address, 2000, lengths="1000-1001", ecn="0,2,1,3,2"
    )
    assert result.received_ecn == {"0": 400, "1": 400, "2": 800, "3": 400}
    assert result.difference is None


@pytest.mark.parametrize("version", [4, 6])
def test_ping_flood_is_answered(tunnel: Pair, version: int) -> None:
    address = TUNNEL["gateway"].of(version)
    output = tunnel.network.client.run("ping", "-q", "-f", "-c", "3000", address).stdout
    assert "3000 packets transmitted, 3000 received" in output


@pytest.mark.parametrize("version", [4, 6])
def test_pings_larger_than_the_mtu_pass_as_fragments(tunnel: Pair, version: int) -> None:
    address = TUNNEL["gateway"].of(version)
    for size in (1372, 1373, 4000, 20000):
        command = ["ping", "-q", "-c", "5", "-i", "0.02", "-M", "dont", "-s", str(size)]
        output = tunnel.network.client.run(*command, address).stdout
        assert "5 packets transmitted, 5 received" in output, size


def test_concurrent_flows_arrive_unchanged(tunnel: Pair) -> None:
    client, server = tunnel.network.client, tunnel.network.server
    transfers = TransferServer(server, BEHIND["server"].v4)
    started = [
        transfers.start(client, direction, 3 << 20)
        for direction in ("up", "down")
        for _ in range(4)
    ]
    outputs = [process.wait(60) for process in started]
    transfers.stop()
    digests = [re.findall(r'sha256": "(\w+)"', output) for output in outputs]
    assert all(sent == received for sent, received in digests)
