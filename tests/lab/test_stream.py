"""The sequenced UDP stream, with a given clock and on a veth."""

import time
from collections.abc import Iterator

import pytest

from lab import OUTER, Network, unavailable
from lab.sequenced_udp import Received, ranges
from lab.stream import Stream, direction

_MS = 1_000_000


def received(*numbers: int) -> Received:
    """Receives one number each millisecond."""
    found = Received(0)
    for at, number in enumerate(numbers):
        found.add(number, at * _MS)
    return found


def test_lower_number_is_out_of_order_and_repeated_duplicate() -> None:
    found = received(0, 2, 1, 3, 3, 1, 4)
    assert (found.out_of_order, found.duplicated, len(found.numbers)) == (1, 2, 5)


def test_gap_is_neither_reordering_nor_duplicate() -> None:
    found = received(0, 1, 5, 9)
    assert (found.out_of_order, found.duplicated) == (0, 0)


def test_silence_counts_from_start_to_end() -> None:
    found = Received(0)
    found.add(0, 300 * _MS)
    assert found.report(1)["longest_silence_s"] == 0.3
    found.add(1, 800 * _MS)
    report = found.report(2)
    assert (report["longest_silence_s"], report["silent_since_s"]) == (0.5, 0.3)
    found.add_silence(1_500 * _MS)
    report = found.report(2)
    assert (report["longest_silence_s"], report["silent_since_s"]) == (0.7, 0.8)


def test_datagram_after_the_end_counts_no_silence() -> None:
    found = received(0)
    found.add_silence(10 * _MS)
    found.counts_silence = False
    found.add(1, 400 * _MS)
    assert found.longest_silence_ns == 10 * _MS
    assert found.numbers == {0, 1}


def test_refused_number_is_not_lost() -> None:
    sender = Received(0).report(10) | {"refused": [[3, 4]], "own_pause_s": 0.1}
    receiver = received(0, 1, 2, 5, 9).report(0) | {"refused": [], "own_pause_s": 0.2}
    found = direction(sender, receiver)
    assert (found.sent, found.refused, found.lost, found.lost_ranges) == (8, 2, 3, ((6, 8),))
    assert found.own_pause_s == 0.2
    assert "8 sent, 2 refused, 3 lost" in str(found) and "lost 6–8" in str(found)


def test_ranges_are_consecutive_numbers() -> None:
    assert ranges({7, 1, 2, 3, 9}) == [[1, 3], [7, 7], [9, 9]]
    assert ranges(set()) == []


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    if reason := unavailable():
        pytest.skip(f"no namespaces: {reason}")
    with Network() as network:
        yield network


def outer(network: Network, version: int) -> Stream:
    client, gateway = (OUTER[name].of(version) for name in ("client", "gateway"))
    return Stream(network.client, network.gateway, client, gateway)


@pytest.mark.netns
@pytest.mark.parametrize("version", [4, 6])
def test_veth_loses_duplicates_and_reorders_nothing(network: Network, version: int) -> None:
    with outer(network, version) as stream:
        time.sleep(0.5)
    for one in (stream.up, stream.down):
        assert (one.lost, one.refused, one.duplicated, one.out_of_order) == (0, 0, 0, 0), stream
        assert one.sent > 100, stream


@pytest.mark.netns
def test_loss_and_silence_of_a_firewall_are_counted(network: Network) -> None:
    chain = "chain in { type filter hook input priority 0; udp dport 5302 drop; };"
    with outer(network, 4) as stream:
        time.sleep(0.2)
        network.gateway.run("nft", f"table inet lossy {{ {chain} }}")
        time.sleep(0.4)
        network.gateway.run("nft", "delete table inet lossy")
        time.sleep(0.2)
    up, down = stream.up, stream.down
    assert up.longest_silence_s >= 0.4, stream
    assert up.silent_since_s >= 0.1, stream
    ((first, last),) = up.lost_ranges
    assert up.lost == last - first + 1
    assert 100 <= up.lost <= 1000 * up.longest_silence_s + 1
    assert down.lost == 0, stream
