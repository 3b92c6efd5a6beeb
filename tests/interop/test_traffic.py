"""Traffic through a tunnel that is up: unchanged, in order, whatever it is."""

import re

import pytest

from lab import BEHIND, TUNNEL, Pair
from pyfw.demo.transfer import TransferServer, datagrams
from tests.interop.judge import assert_in_order

_BULK = 48 << 20


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("version", [4, 6])
def test_tcp_bulk_arrives_unchanged_and_in_order(
    judged: Pair, version: int, direction: str
) -> None:
    client, server = judged.network.client, judged.network.server
    receiver = server if direction == "up" else client
    serving = TransferServer(server, BEHIND["server"].of(version))
    before = receiver.counters()
    transfer = serving.transfer(client, direction, _BULK)
    serving.stop()
    assert transfer.sha256_equal
    assert_in_order(judged, receiver.counters() - before)


@pytest.mark.parametrize("version", [4, 6])
def test_udp_of_every_length_arrives_unchanged_and_in_order(judged: Pair, version: int) -> None:
    network, address = judged.network, BEHIND["server"].of(version)
    # 577 and 1400 have no common divisor, so 1400 datagrams have 1400 lengths.
    result = datagrams(network.client, network.server, address, 1400, lengths="1-1400")
    assert result.difference is None


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_equal_small_datagrams_arrive_unchanged_and_in_order(
    judged: Pair, version: int, direction: str
) -> None:
    network = judged.network
    ends = (network.client, network.gateway)
    source, sink = ends if direction == "up" else ends[::-1]
    address = TUNNEL["gateway" if direction == "up" else "client"].of(version)
    result = datagrams(source, sink, address, 2000, lengths="64")
    assert result.difference is None


@pytest.mark.parametrize("version", [4, 6])
def test_ecn_passes_end_to_end_and_its_changes_reorder_nothing(judged: Pair, version: int) -> None:
    network, address = judged.network, BEHIND["server"].of(version)
    result = datagrams(
        network.client, network.server, address, 2000, lengths="1000-1001", ecn="0,2,1,3,2"
    )
    assert result.received_ecn == {"0": 400, "1": 400, "2": 800, "3": 400}
    assert result.difference is None


@pytest.mark.parametrize("version", [4, 6])
def test_a_ping_flood_is_answered(judged: Pair, version: int) -> None:
    address = TUNNEL["gateway"].of(version)
    flood = judged.network.client.run("ping", "-q", "-f", "-c", "3000", address).stdout
    assert "3000 packets transmitted, 3000 received" in flood


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("size", [1372, 1373, 4000, 20000])
def test_pings_larger_than_the_mtu_pass_as_fragments(judged: Pair, version: int, size: int) -> None:
    command = ["ping", "-q", "-c", "5", "-i", "0.02", "-M", "dont", "-s", str(size)]
    told = judged.network.client.run(*command, TUNNEL["gateway"].of(version)).stdout
    assert "5 packets transmitted, 5 received" in told


def test_many_flows_at_once_arrive_unchanged(judged: Pair) -> None:
    client, server = judged.network.client, judged.network.server
    serving = TransferServer(server, BEHIND["server"].v4)
    started = [
        serving.start(client, direction, 6 << 20) for direction in ("up", "down") for _ in range(4)
    ]
    told = [process.wait(60) for process in started]
    serving.stop()
    digests = [re.findall(r'sha256": "(\w+)"', one) for one in told]
    assert all(sent == received for sent, received in digests)
