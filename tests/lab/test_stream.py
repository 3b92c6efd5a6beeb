"""The numbered stream: it counts what it is said to count, by a given clock and on a real wire."""

import time
from collections.abc import Iterator

import pytest

from lab import OUTER, Network, unavailable
from lab.sequenced_udp import Received, ranges
from lab.stream import Stream, _one_way

_MS = 1_000_000


def received(*numbers: int) -> Received:
    """One number each millisecond."""
    taken = Received(0)
    for at, number in enumerate(numbers):
        taken.take(number, at * _MS)
    return taken


def test_an_arrival_below_the_highest_is_out_of_order_and_a_second_one_a_duplicate() -> None:
    taken = received(0, 2, 1, 3, 3, 1, 4)
    assert (taken.out_of_order, taken.duplicated, len(taken.numbers)) == (1, 2, 5)


def test_a_gap_in_the_numbers_alone_is_neither() -> None:
    taken = received(0, 1, 5, 9)
    assert (taken.out_of_order, taken.duplicated) == (0, 0)


def test_silence_is_counted_from_the_start_between_arrivals_and_to_the_end() -> None:
    taken = Received(0)
    taken.take(0, 300 * _MS)
    assert taken.report(1)["longest_silence_s"] == 0.3
    taken.take(1, 800 * _MS)
    told = taken.report(2)
    assert (told["longest_silence_s"], told["silent_since_s"]) == (0.5, 0.3)
    taken.pause(1_500 * _MS)
    told = taken.report(2)
    assert (told["longest_silence_s"], told["silent_since_s"]) == (0.7, 0.8)


def test_what_comes_after_the_end_of_sending_ends_no_silence() -> None:
    taken = received(0)
    taken.pause(10 * _MS)
    taken.counts_silence = False
    taken.take(1, 400 * _MS)
    assert taken.longest_silence_ns == 10 * _MS
    assert taken.numbers == {0, 1}


def test_a_number_that_the_kernel_refused_is_not_lost() -> None:
    sender = Received(0).report(10) | {"refused": [[3, 4]], "own_pause_s": 0.1}
    receiver = received(0, 1, 2, 5, 9).report(0) | {"refused": [], "own_pause_s": 0.2}
    way = _one_way(sender, receiver)
    assert (way.sent, way.refused, way.lost, way.lost_ranges) == (8, 2, 3, ((6, 8),))
    assert way.own_pause_s == 0.2
    assert "8 sent, 2 refused, 3 lost" in str(way) and "lost 6–8" in str(way)


def test_ranges_are_runs_of_neighbours() -> None:
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
def test_a_cable_loses_doubles_and_reorders_nothing(network: Network, version: int) -> None:
    with outer(network, version) as stream:
        time.sleep(0.5)
    for way in (stream.up, stream.down):
        assert (way.lost, way.refused, way.duplicated, way.out_of_order) == (0, 0, 0, 0), stream
        assert way.sent > 250, stream


@pytest.mark.netns
def test_losses_and_silences_of_a_wire_are_those_that_were_made(network: Network) -> None:
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
    assert 350 <= up.lost <= 1000 * up.longest_silence_s + 1
    assert down.lost == 0, stream
