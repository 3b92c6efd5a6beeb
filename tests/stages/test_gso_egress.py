"""gso_egress, driven from Python: the seed's trace, the limits, and any sequence against the model."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyfw.stages import GsoBatch, GsoEgress
from tests.stages.batch_model import BYTES_MAX, Datagram, batches

SEED_LENGTHS = (1228, 834, 1031, 1228, 834, 1228, 1228, 637, 1228, 1228)
SEED_BATCHES = [[1228, 834], [1031], [1228, 834], [1228, 1228, 637], [1228, 1228]]

A, B, C = "192.0.2.1:51820", "192.0.2.2:51820", "192.0.2.3:4500"
A6, B6 = "[2001:db8::1]:51820", "[2001:db8::2]:51820"


def pushed(datagrams: list[Datagram], max_segments: int = 64) -> list[GsoBatch]:
    """What leaves, after all were given in one drain; each payload begins with its number."""
    egress = GsoEgress(max_segments=max_segments)
    for number, datagram in enumerate(datagrams):
        egress.push(datagram.source, datagram.destination, content(number, datagram), datagram.ecn)
    return egress.drain()


def content(number: int, datagram: Datagram) -> bytes:
    return number.to_bytes(4, "big").ljust(datagram.length, b"\xa5")[: datagram.length]


def lengths(*datagrams: Datagram, max_segments: int = 64) -> list[list[int]]:
    return [batch.lengths for batch in pushed(list(datagrams), max_segments)]


def test_the_seeds_trace_gives_the_batches_that_keep_its_order() -> None:
    scapy = pytest.importorskip("scapy.all", reason="scapy builds these packets")
    egress = GsoEgress()
    payloads = []
    for number, length in enumerate(SEED_LENGTHS):
        datagram = (
            scapy.IP(src="192.0.2.1", dst="192.0.2.2")
            / scapy.UDP(sport=51820, dport=51820)
            / scapy.Raw(bytes([number]) * length)
        )
        built = scapy.IP(bytes(datagram))
        payloads.append(bytes(built[scapy.UDP].payload))
        source = f"{built.src}:{built[scapy.UDP].sport}"
        egress.push(source, f"{built.dst}:{built[scapy.UDP].dport}", payloads[-1])
    left = egress.drain()
    assert [batch.lengths for batch in left] == SEED_BATCHES
    assert b"".join(batch.payload for batch in left) == b"".join(payloads)
    assert egress.drain() == []


def test_a_shorter_datagram_closes_its_batch_and_a_longer_one_opens_another() -> None:
    ways = [Datagram(A, B, length) for length in (900, 900, 300, 300, 900)]
    assert lengths(*ways) == [[900, 900, 300], [300], [900]]


def test_an_older_batch_of_a_connection_is_never_extended() -> None:
    first, other, again = Datagram(A, B, 900), Datagram(A, B, 901), Datagram(A, B, 900)
    assert lengths(first, other, again, again) == [[900], [901, 900], [900]]


def test_a_change_of_ecn_or_of_source_opens_another_batch_at_the_tail() -> None:
    plain, marked = Datagram(A, B, 900), Datagram(A, B, 900, ecn=3)
    assert lengths(plain, marked, plain) == [[900], [900], [900]]
    moved = Datagram(C, B, 900)
    assert lengths(plain, moved, plain) == [[900], [900], [900]]


def test_connections_batch_beside_each_other_in_the_order_in_which_they_began() -> None:
    to_b, to_c = Datagram(A, B, 900), Datagram(A, C, 700)
    left = pushed([to_b, to_c, to_b, to_c])
    assert [(batch.destination, batch.lengths) for batch in left] == [
        (B, [900, 900]),
        (C, [700, 700]),
    ]


@pytest.mark.parametrize("max_segments", [1, 2, 64, 128])
def test_a_send_has_no_more_segments_than_allowed(max_segments: int) -> None:
    ways = [Datagram(A, B, 100)] * (max_segments + 1)
    assert lengths(*ways, max_segments=max_segments) == [[100] * max_segments, [100]]


@pytest.mark.parametrize(("source", "to", "version"), [(A, B, 4), (A6, B6, 6)])
def test_a_send_is_no_longer_than_udp_allows(source: str, to: str, version: int) -> None:
    half = BYTES_MAX[version] // 2
    way = Datagram(source, to, half)
    one, two = Datagram(source, to, 1), Datagram(source, to, 2)
    assert lengths(way, way, one) == [[half, half, 1]]
    assert lengths(way, way, two) == [[half, half], [2]]
    assert lengths(Datagram(source, to, half + 1), way, way) == [[half + 1, half], [half]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((A, B, b""), "payload has 0 bytes"),
        ((A, B, bytes(BYTES_MAX[4] + 1)), "must have 1 to 65507"),
        ((A6, B6, bytes(BYTES_MAX[6] + 1)), "must have 1 to 65527"),
        ((A, B, b"x", 4), "ecn is 4"),
        ((A, B6, b"x"), "cannot send to"),
        (("nowhere", B, b"x"), "nowhere"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(
    arguments: tuple[str, str, bytes], said: str
) -> None:
    egress = GsoEgress()
    with pytest.raises(ValueError, match=said):
        egress.push(*arguments)
    assert egress.drain() == []


def test_a_full_list_refuses_and_loses_nothing() -> None:
    egress, waiting = GsoEgress(), 256
    # Each is longer than the one before and opens a batch of its own.
    for length in range(1, waiting + 1):
        egress.push(A, B, bytes(length))
    with pytest.raises(BufferError, match="drain"):
        egress.push(A, B, bytes(waiting + 1))
    assert [batch.lengths for batch in egress.drain()] == [[n] for n in range(1, waiting + 1)]
    egress.push(A, B, b"room again")
    assert len(egress.drain()) == 1


# Few addresses and lengths, so that the rules meet: equal, shorter and longer ones of one connection.
any_datagrams = st.lists(
    st.one_of(
        st.builds(
            Datagram,
            source=st.sampled_from([A, C]),
            destination=st.sampled_from([B, C]),
            length=st.sampled_from([4, 64, 65, 900, 1228, 9000, 40_000, BYTES_MAX[4]]),
            ecn=st.sampled_from([0, 0, 0, 2, 3]),
        ),
        st.builds(
            Datagram,
            source=st.just(A6),
            destination=st.just(B6),
            length=st.sampled_from([4, 64, 1408, 1408, 1408, 30_000, BYTES_MAX[6]]),
        ),
    ),
    max_size=200,
)


@given(datagrams=any_datagrams, max_segments=st.sampled_from([1, 3, 64]))
def test_any_sequence_leaves_as_the_model_says(
    datagrams: list[Datagram], max_segments: int
) -> None:
    left = pushed(datagrams, max_segments)
    expected = batches(datagrams, max_segments)
    assert [batch.lengths for batch in left] == [batch.lengths for batch in expected]
    for batch, model in zip(left, expected, strict=True):
        first = model.first
        shown = (batch.source, batch.destination, batch.ecn, batch.segment_size)
        assert shown == (first.source, first.destination, first.ecn, first.length)
        sent = b"".join(content(number, datagrams[number]) for number in model.numbers)
        assert batch.payload == sent


@given(datagrams=any_datagrams)
def test_a_connections_datagrams_leave_in_the_order_in_which_they_came(
    datagrams: list[Datagram],
) -> None:
    numbers: dict[tuple[str, str], list[int]] = {}
    for batch in pushed(datagrams):
        start = 0
        for length in batch.lengths:
            number = int.from_bytes(batch.payload[start : start + 4], "big")
            numbers.setdefault((batch.source, batch.destination), []).append(number)
            start += length
        assert start == len(batch.payload) <= BYTES_MAX[6 if "[" in batch.source else 4]
    for came in numbers.values():
        assert came == sorted(came)
    everything = sorted(itertools.chain(*numbers.values()))
    assert everything == list(range(len(datagrams)))
