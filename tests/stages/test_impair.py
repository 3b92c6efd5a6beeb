"""impair decides by its seed what happens to each segment, and when it leaves."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

from pyfw.stages.impair import Impair, ImpairOptions
from tests.stages.timed import TimedStageTest

MS = 1_000_000
ECT_0, CE = 2, 3


def make_packets(count: int, length: int = 100, ecn: int = 0) -> list[Any]:
    """UDP packets of one flow whose payloads begin with their numbers."""
    return [
        IP(src="10.0.0.1", dst="10.0.0.2", tos=ecn)
        / UDP(sport=1, dport=2)
        / Raw(number.to_bytes(4, "big").ljust(length - 28, b"\0"))
        for number in range(count)
    ]


def numbers(packets: Sequence[bytes]) -> list[int]:
    return [int.from_bytes(packet[28:32], "big") for packet in packets]


def super_packet(segments: int, payload: int = 100, ecn: int = 0) -> Any:
    return (
        IP(src="10.0.0.1", dst="10.0.0.2", tos=ecn)
        / TCP(sport=1, dport=2, flags="A", seq=0)
        / Raw(bytes(segments * payload))
    )


def test_without_options_packets_pass_unchanged() -> None:
    packets = make_packets(9)
    with TimedStageTest(Impair()) as test:
        assert test.feed(packets) == [bytes(packet) for packet in packets]
        assert test.counts["drops"] == {}


def test_the_outcome_depends_on_the_seed_not_on_batching() -> None:
    packets = make_packets(400)
    with TimedStageTest(Impair(loss=0.3, seed=7)) as test:
        whole = numbers(test.feed(packets))
    with TimedStageTest(Impair(loss=0.3, seed=7)) as test:
        singly = [number for packet in packets for number in numbers(test.feed([packet]))]
    with TimedStageTest(Impair(loss=0.3, seed=8)) as test:
        other = numbers(test.feed(packets))
    assert whole == singly != other


def test_the_outcome_of_a_seed_never_changes() -> None:
    # Python keeps random() of a seed stable between versions.
    with TimedStageTest(Impair(loss=0.5, seed=1)) as test:
        assert numbers(test.feed(make_packets(16))) == [2, 3, 4, 6, 8, 9, 11, 12, 13, 15]


def test_each_direction_has_its_own_random_stream() -> None:
    packets = make_packets(200)
    with TimedStageTest(Impair(loss=0.3)) as test:
        inbound = numbers(test.feed(packets, towards="inbound"))
        outbound = numbers(test.feed(packets, towards="outbound"))
    with TimedStageTest(Impair(loss=0.3)) as test:
        assert numbers(test.feed(packets, towards="outbound")) == outbound != inbound


def test_losses_have_the_configured_rate_and_burst_length() -> None:
    count, share, burst = 40_000, 0.1, 4.0
    packets = [bytes(packet) for packet in make_packets(1)] * count
    packets = [p[:28] + i.to_bytes(4, "big") + p[32:] for i, p in enumerate(packets)]
    with TimedStageTest(Impair(loss=share, loss_burst=burst)) as test:
        passed = set(numbers(test.feed(packets)))
    lost = [number for number in range(count) if number not in passed]
    runs = sum(number - 1 in passed or number == 0 for number in lost)
    assert len(lost) / count == pytest.approx(share, rel=0.1)
    assert len(lost) / runs == pytest.approx(burst, rel=0.1)


@pytest.mark.parametrize("burst", [0.0, 1.0, 5.0])
def test_a_loss_of_one_drops_everything(burst: float) -> None:
    with TimedStageTest(Impair(loss=1.0, loss_burst=burst)) as test:
        assert test.feed(make_packets(50)) == []
        assert test.counts["drops"] == {"lost": 50}


def test_segments_of_a_super_packet_are_lost_individually() -> None:
    with TimedStageTest(Impair(loss=0.5)) as test:
        left = test.feed([super_packet(40)], segment_size=100)
        counters = test.counts
    assert 5 < len(left) < 35
    assert counters["drops"] == {"lost": 40 - len(left)}
    sequence = [IP(packet)[TCP].seq for packet in left]
    assert sequence == sorted(sequence)
    assert all(number % 100 == 0 for number in sequence)


def test_a_delay_alone_keeps_frames_whole_and_in_order() -> None:
    packets = make_packets(3)
    with TimedStageTest(Impair(delay_ms=10)) as test:
        assert not test.stage.reorders
        assert test.feed(packets, 1 * MS) == []
        assert test.feed([super_packet(8)], 2 * MS, segment_size=100) == []
        assert test.counts["held_frames"] == 4
        assert test.chain.due_ns() == 11 * MS
        assert test.until(11 * MS - 1) == []
        assert test.until(11 * MS) == [bytes(packet) for packet in packets]
        assert test.chain.due_ns() == 12 * MS
        assert len(test.until(12 * MS)) == 8
        assert test.counts["own"] == {"delayed": 4}


def test_due_frames_leave_before_the_next_batch() -> None:
    with TimedStageTest(Impair(delay_ms=10)) as test:
        test.feed(make_packets(2), 0)
        assert numbers(test.feed(make_packets(9)[2:], 10 * MS)) == [0, 1]
        assert numbers(test.until(20 * MS)) == [2, 3, 4, 5, 6, 7, 8]


def test_jitter_reorders_and_loses_nothing() -> None:
    with TimedStageTest(Impair(jitter_ms=10)) as test:
        assert test.stage.reorders
        test.feed(make_packets(50), 0)
        left = numbers(test.until(10 * MS))
    assert sorted(left) == list(range(50))
    assert left != sorted(left)


def test_reorder_delays_a_share_of_the_packets() -> None:
    with TimedStageTest(Impair(reorder=0.2, reorder_ms=5)) as test:
        at_once = numbers(test.feed(make_packets(100), 0))
        late = numbers(test.until(5 * MS))
        assert test.counts["own"] == {"delayed": len(late), "reordered": len(late)}
    assert 5 < len(late) < 40
    assert sorted(at_once + late) == list(range(100))


def test_a_rate_spaces_packets_and_bounds_the_queue() -> None:
    # 1,000 B at 8 Mbit/s take a millisecond.
    with TimedStageTest(Impair(rate_mbit=8, queue_ms=2)) as test:
        test.feed(make_packets(9, length=1000), 0)
        assert test.counts["drops"] == {"queue_full": 6}
        assert [numbers(test.until(at * MS)) for at in (1, 2, 3, 4)] == [[0], [1], [2], []]


def test_duplicates_follow_their_original() -> None:
    with TimedStageTest(Impair(duplicate=1.0)) as test:
        assert numbers(test.feed(make_packets(3))) == [0, 0, 1, 1, 2, 2]
        assert test.counts["own"] == {"duplicated": 3}
    with TimedStageTest(Impair(duplicate=1.0, delay_ms=1)) as test:
        test.feed(make_packets(2), 0)
        assert numbers(test.until(MS)) == [0, 0, 1, 1]
        assert test.counts["created"] == 2


@pytest.mark.parametrize("delay_ms", [0, 1])
def test_only_ecn_capable_packets_are_marked(delay_ms: int) -> None:
    packets = [*make_packets(1, ecn=0), *make_packets(1, ecn=ECT_0), *make_packets(1, ecn=1)]
    packets.append(IPv6(src="fd00::1", dst="fd00::2", tc=ECT_0) / UDP(sport=1, dport=2))
    with TimedStageTest(Impair(ce=1.0, delay_ms=delay_ms, duplicate=1.0)) as test:
        left = test.feed(packets, 0) + test.until(MS)
        assert test.counts["own"]["marked"] == 3
    marks = [IP(p).tos if p[0] >> 4 == 4 else IPv6(p).tc for p in left]
    # Duplicates are marked like their originals.
    assert sorted(marks) == [0, 0, *[CE] * 6]
    for packet in left[:2]:
        again = IP(packet)
        del again.chksum
        assert bytes(again) == packet


def test_packets_longer_than_the_mtu_are_dropped() -> None:
    packets = [*make_packets(1, length=600), *make_packets(1, length=601)]
    with TimedStageTest(Impair(mtu=600)) as test:
        assert [len(packet) for packet in test.feed(packets)] == [600]
        # The limit applies to the segments of a super-packet.
        assert len(test.feed([super_packet(8, payload=500)], segment_size=500)) == 8
        assert test.counts["drops"] == {"too_big": 1}


def test_frames_beyond_the_hold_limit_are_dropped() -> None:
    stage = Impair(delay_ms=10)
    stage.hold_frames = 5
    with TimedStageTest(stage) as test:
        test.feed(make_packets(8), 0)
        assert test.counts["drops"] == {"hold_overflow": 3}
        assert numbers(test.until(10 * MS)) == [0, 1, 2, 3, 4]


def test_delayed_frames_are_handed_over_in_order() -> None:
    packets = make_packets(6)
    with TimedStageTest(Impair(delay_ms=10)) as test:
        test.feed(packets[:3], 0)
        test.reload(Impair(delay_ms=1))
        # Later packets have a shorter delay and must not overtake.
        test.feed(packets[3:], 5 * MS)
        assert test.until(9 * MS) == []
        assert numbers(test.until(10 * MS)) == [0, 1, 2, 3, 4, 5]
        assert (test.counts["failures"], test.drops) == (0, {})


def test_reordered_frames_are_released_in_order_after_a_reload() -> None:
    with TimedStageTest(Impair(jitter_ms=10)) as test:
        test.feed(make_packets(30), 0)
        test.reload(Impair(delay_ms=1))
        assert numbers(test.until(20 * MS)) == list(range(30))


def test_a_reload_continues_the_random_stream() -> None:
    packets = make_packets(100)
    with TimedStageTest(Impair(loss=0.4)) as test:
        whole = numbers(test.feed(packets))
    with TimedStageTest(Impair(loss=0.4)) as test:
        first = numbers(test.feed(packets[:50]))
        test.reload(Impair(loss=0.4))
        assert first + numbers(test.feed(packets[50:])) == whole


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": 1.1}, "<= 1"),
        ({"reorder": 0.1}, "reorder needs reorder_ms"),
        ({"queue_ms": 1}, "queue_ms needs rate_mbit"),
        ({"mtu": -1}, ">= 0"),
    ],
)
def test_invalid_options_are_rejected(options: dict[str, Any], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(options, ImpairOptions)


@settings(max_examples=60, deadline=None)
@given(
    loss=st.sampled_from([0.0, 0.2]),
    delay_ms=st.sampled_from([0.0, 3.0]),
    jitter_ms=st.sampled_from([0.0, 2.0]),
    reorder=st.sampled_from([0.0, 0.3]),
    duplicate=st.sampled_from([0.0, 0.3]),
    rate_mbit=st.sampled_from([0.0, 4.0]),
    batches=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), max_size=8),
)
def test_frames_are_conserved_and_in_order(batches: list[tuple[int, int]], **options: Any) -> None:
    options["reorder_ms"] = 5.0 if options["reorder"] else 0.0
    packets = make_packets(sum(count for count, _ in batches))
    left: list[int] = []
    with TimedStageTest(Impair(**options)) as test:
        now_ns, given_ = 0, 0
        for count, pause in batches:
            now_ns += pause * MS
            left += numbers(test.feed(packets[given_ : given_ + count], now_ns))
            given_ += count
        left += numbers(test.until(now_ns + 1000 * MS))
        counters = test.counts
    assert counters["failures"] == 0
    assert counters["held_frames"] == 0
    assert len(left) + counters["drops"].get("lost", 0) == len(packets) + counters["created"]
    if not test.stage.reorders:
        assert left == sorted(left)
