"""gso_egress, driven from Python: the trace of the original bug, the limits, and a model."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyfw.stages import GsoBatch, GsoEgress
from tests.stages.batch_model import BYTES_MAX, Datagram, batches

TRACE_LENGTHS = (1228, 834, 1031, 1228, 834, 1228, 1228, 637, 1228, 1228)
TRACE_BATCHES = [[1228, 834], [1031], [1228, 834], [1228, 1228, 637], [1228, 1228]]

A, B, C = "192.0.2.1:51820", "192.0.2.2:51820", "192.0.2.3:4500"
A6, B6 = "[2001:db8::1]:51820", "[2001:db8::2]:51820"


def sent(datagrams: list[Datagram], max_segments: int = 64) -> list[GsoBatch]:
    """Returns the batches for one drain; each payload begins with its datagram's number."""
    egress = GsoEgress(max_segments=max_segments)
    for number, datagram in enumerate(datagrams):
        egress.push(datagram.source, datagram.destination, content(number, datagram), datagram.ecn)
    return egress.drain()


def content(number: int, datagram: Datagram) -> bytes:
    return number.to_bytes(4, "big").ljust(datagram.length, b"\xa5")[: datagram.length]


def lengths(*datagrams: Datagram, max_segments: int = 64) -> list[list[int]]:
    return [batch.lengths for batch in sent(list(datagrams), max_segments)]


def test_the_trace_of_the_original_bug_keeps_its_order() -> None:
    scapy = pytest.importorskip("scapy.all", reason="scapy builds these packets")
    egress = GsoEgress()
    payloads = []
    for number, length in enumerate(TRACE_LENGTHS):
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
    assert [batch.lengths for batch in left] == TRACE_BATCHES
    assert b"".join(batch.payload for batch in left) == b"".join(payloads)
    assert egress.drain() == []


def test_a_shorter_datagram_closes_its_batch() -> None:
    datagrams = [Datagram(A, B, length) for length in (900, 900, 300, 300, 900)]
    assert lengths(*datagrams) == [[900, 900, 300], [300], [900]]


def test_an_older_batch_is_never_extended() -> None:
    first, other, again = Datagram(A, B, 900), Datagram(A, B, 901), Datagram(A, B, 900)
    assert lengths(first, other, again, again) == [[900], [901, 900], [900]]


def test_a_change_of_ecn_or_source_opens_a_new_batch() -> None:
    plain, marked = Datagram(A, B, 900), Datagram(A, B, 900, ecn=3)
    assert lengths(plain, marked, plain) == [[900], [900], [900]]
    moved = Datagram(C, B, 900)
    assert lengths(plain, moved, plain) == [[900], [900], [900]]


def test_connections_batch_independently() -> None:
    to_b, to_c = Datagram(A, B, 900), Datagram(A, C, 700)
    left = sent([to_b, to_c, to_b, to_c])
    assert [(batch.destination, batch.lengths) for batch in left] == [
        (B, [900, 900]),
        (C, [700, 700]),
    ]


@pytest.mark.parametrize("max_segments", [1, 2, 64, 128])
def test_a_send_has_at_most_max_segments(max_segments: int) -> None:
    datagrams = [Datagram(A, B, 100)] * (max_segments + 1)
    assert lengths(*datagrams, max_segments=max_segments) == [[100] * max_segments, [100]]


@pytest.mark.parametrize(("source", "to", "version"), [(A, B, 4), (A6, B6, 6)])
def test_a_send_is_at_most_as_long_as_udp_allows(source: str, to: str, version: int) -> None:
    half = BYTES_MAX[version] // 2
    middle = Datagram(source, to, half)
    one, two = Datagram(source, to, 1), Datagram(source, to, 2)
    assert lengths(middle, middle, one) == [[half, half, 1]]
    assert lengths(middle, middle, two) == [[half, half], [2]]
    assert lengths(Datagram(source, to, half + 1), middle, middle) == [[half + 1, half], [half]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((A, B, b""), "payload has 0 bytes"),
        ((A, B, bytes(BYTES_MAX[4] + 1)), "must have 1 to 65507"),
        ((A6, B6, bytes(BYTES_MAX[6] + 1)), "must have 1 to 65527"),
        ((A, B, b"x", 4), "ecn is 4"),
        ((A, B6, b"x"), "cannot send to"),
        (("nowhere", B, b"x"), "nowhere"),
    ],
)
def test_invalid_arguments_are_rejected(arguments: tuple[str, str, bytes], message: str) -> None:
    egress = GsoEgress()
    with pytest.raises(ValueError, match=message):
        egress.push(*arguments)
    assert egress.drain() == []


def test_a_full_list_rejects_datagrams_and_loses_none() -> None:
    egress, limit = GsoEgress(), 256
    # Each is longer than the one before, so each opens a batch.
    for length in range(1, limit + 1):
        egress.push(A, B, bytes(length))
    with pytest.raises(BufferError, match="drain"):
        egress.push(A, B, bytes(limit + 1))
    assert [batch.lengths for batch in egress.drain()] == [[n] for n in range(1, limit + 1)]
    egress.push(A, B, b"room again")
    assert len(egress.drain()) == 1


# Few addresses and lengths, so that equal, shorter and longer datagrams of one connection meet.
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
def test_any_sequence_is_batched_like_the_model(
    datagrams: list[Datagram], max_segments: int
) -> None:
    left = sent(datagrams, max_segments)
    expected = batches(datagrams, max_segments)
    assert [batch.lengths for batch in left] == [batch.lengths for batch in expected]
    for batch, model in zip(left, expected, strict=True):
        first = model.first
        fields = (batch.source, batch.destination, batch.ecn, batch.segment_size)
        assert fields == (first.source, first.destination, first.ecn, first.length)
        payload = b"".join(content(number, datagrams[number]) for number in model.numbers)
        assert batch.payload == payload


@given(datagrams=any_datagrams)
def test_datagrams_of_a_connection_stay_in_order(
    datagrams: list[Datagram],
) -> None:
    numbers: dict[tuple[str, str], list[int]] = {}
    for batch in sent(datagrams):
        start = 0
        for length in batch.lengths:
            number = int.from_bytes(batch.payload[start : start + 4], "big")
            numbers.setdefault((batch.source, batch.destination), []).append(number)
            start += length
        assert start == len(batch.payload) <= BYTES_MAX[6 if "[" in batch.source else 4]
    for sent_numbers in numbers.values():
        assert sent_numbers == sorted(sent_numbers)
    everything = sorted(itertools.chain(*numbers.values()))
    assert everything == list(range(len(datagrams)))
