"""What a seed decides over each segment, by its own rules and at the times that a test gives."""

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
from tests.stages.timed import Trial

MS = 1_000_000
ECT_0, CE = 2, 3


def numbered(count: int, length: int = 100, ecn: int = 0) -> list[Any]:
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


def test_without_options_all_passes_untouched() -> None:
    packets = numbered(9)
    with Trial(Impair()) as trial:
        assert trial.feed(packets) == [bytes(packet) for packet in packets]
        assert trial.counts["drops"] == {}


def test_one_seed_has_one_fate_whatever_the_batches_and_another_seed_another() -> None:
    packets = numbered(400)
    with Trial(Impair(loss=0.3, seed=7)) as trial:
        whole = numbers(trial.feed(packets))
    with Trial(Impair(loss=0.3, seed=7)) as trial:
        singly = [number for packet in packets for number in numbers(trial.feed([packet]))]
    with Trial(Impair(loss=0.3, seed=8)) as trial:
        other = numbers(trial.feed(packets))
    assert whole == singly != other


def test_the_fates_of_a_seed_never_change() -> None:
    # Python keeps random() of a seed the same between versions; so do we.
    with Trial(Impair(loss=0.5, seed=1)) as trial:
        assert numbers(trial.feed(numbered(16))) == [2, 3, 4, 6, 8, 9, 11, 12, 13, 15]


def test_each_direction_has_a_stream_of_its_own() -> None:
    packets = numbered(200)
    with Trial(Impair(loss=0.3)) as trial:
        inbound = numbers(trial.feed(packets, towards="inbound"))
        outbound = numbers(trial.feed(packets, towards="outbound"))
    with Trial(Impair(loss=0.3)) as trial:
        assert numbers(trial.feed(packets, towards="outbound")) == outbound != inbound


def test_losses_have_their_share_and_their_mean_run() -> None:
    count, share, burst = 40_000, 0.1, 4.0
    packets = [bytes(packet) for packet in numbered(1)] * count
    packets = [p[:28] + i.to_bytes(4, "big") + p[32:] for i, p in enumerate(packets)]
    with Trial(Impair(loss=share, loss_burst=burst)) as trial:
        passed = set(numbers(trial.feed(packets)))
    lost = [number for number in range(count) if number not in passed]
    runs = sum(number - 1 in passed or number == 0 for number in lost)
    assert len(lost) / count == pytest.approx(share, rel=0.1)
    assert len(lost) / runs == pytest.approx(burst, rel=0.1)


@pytest.mark.parametrize("burst", [0.0, 1.0, 5.0])
def test_a_loss_of_one_loses_all(burst: float) -> None:
    with Trial(Impair(loss=1.0, loss_burst=burst)) as trial:
        assert trial.feed(numbered(50)) == []
        assert trial.counts["drops"] == {"lost": 50}


def test_segments_of_a_super_packet_are_lost_one_by_one() -> None:
    with Trial(Impair(loss=0.5)) as trial:
        left = trial.feed([super_packet(40)], segment_size=100)
        counters = trial.counts
    assert 5 < len(left) < 35
    assert counters["drops"] == {"lost": 40 - len(left)}
    sequence = [IP(packet)[TCP].seq for packet in left]
    assert sequence == sorted(sequence)
    assert all(number % 100 == 0 for number in sequence)


def test_a_delay_keeps_frames_whole_and_in_order() -> None:
    packets = numbered(3)
    with Trial(Impair(delay_ms=10)) as trial:
        assert not trial.stage.reorders
        assert trial.feed(packets, 1 * MS) == []
        assert trial.feed([super_packet(8)], 2 * MS, segment_size=100) == []
        assert trial.counts["held_frames"] == 4
        assert trial.chain.due_ns() == 11 * MS
        assert trial.until(11 * MS - 1) == []
        assert trial.until(11 * MS) == [bytes(packet) for packet in packets]
        assert trial.chain.due_ns() == 12 * MS
        assert len(trial.until(12 * MS)) == 8
        assert trial.counts["own"] == {"delayed": 4}


def test_what_is_due_leaves_before_the_batch_that_comes() -> None:
    with Trial(Impair(delay_ms=10)) as trial:
        trial.feed(numbered(2), 0)
        assert numbers(trial.feed(numbered(9)[2:], 10 * MS)) == [0, 1]
        assert numbers(trial.until(20 * MS)) == [2, 3, 4, 5, 6, 7, 8]


def test_jitter_lets_later_ones_overtake_and_loses_none() -> None:
    with Trial(Impair(jitter_ms=10)) as trial:
        assert trial.stage.reorders
        trial.feed(numbered(50), 0)
        left = numbers(trial.until(10 * MS))
    assert sorted(left) == list(range(50))
    assert left != sorted(left)


def test_some_are_held_back_and_the_others_are_not() -> None:
    with Trial(Impair(reorder=0.2, reorder_ms=5)) as trial:
        at_once = numbers(trial.feed(numbered(100), 0))
        late = numbers(trial.until(5 * MS))
        assert trial.counts["own"] == {"delayed": len(late), "reordered": len(late)}
    assert 5 < len(late) < 40
    assert sorted(at_once + late) == list(range(100))


def test_a_rate_spaces_packets_and_its_queue_has_an_end() -> None:
    # 1,000 B at 8 Mbit/s take a millisecond.
    with Trial(Impair(rate_mbit=8, queue_ms=2)) as trial:
        trial.feed(numbered(9, length=1000), 0)
        assert trial.counts["drops"] == {"queue_full": 6}
        assert [numbers(trial.until(at * MS)) for at in (1, 2, 3, 4)] == [[0], [1], [2], []]


def test_duplicates_follow_at_once_also_when_delayed() -> None:
    with Trial(Impair(duplicate=1.0)) as trial:
        assert numbers(trial.feed(numbered(3))) == [0, 0, 1, 1, 2, 2]
        assert trial.counts["own"] == {"duplicated": 3}
    with Trial(Impair(duplicate=1.0, delay_ms=1)) as trial:
        trial.feed(numbered(2), 0)
        assert numbers(trial.until(MS)) == [0, 0, 1, 1]
        assert trial.counts["created"] == 2


@pytest.mark.parametrize("delay_ms", [0, 1])
def test_only_what_is_ecn_capable_is_marked(delay_ms: int) -> None:
    packets = [*numbered(1, ecn=0), *numbered(1, ecn=ECT_0), *numbered(1, ecn=1)]
    packets.append(IPv6(src="fd00::1", dst="fd00::2", tc=ECT_0) / UDP(sport=1, dport=2))
    with Trial(Impair(ce=1.0, delay_ms=delay_ms, duplicate=1.0)) as trial:
        left = trial.feed(packets, 0) + trial.until(MS)
        assert trial.counts["own"]["marked"] == 3
    marks = [IP(p).tos if p[0] >> 4 == 4 else IPv6(p).tc for p in left]
    # Copies are marked like what they are copies of.
    assert sorted(marks) == [0, 0, *[CE] * 6]
    for packet in left[:2]:
        again = IP(packet)
        del again.chksum
        assert bytes(again) == packet


def test_what_is_longer_than_the_mtu_vanishes() -> None:
    packets = [*numbered(1, length=600), *numbered(1, length=601)]
    with Trial(Impair(mtu=600)) as trial:
        assert [len(packet) for packet in trial.feed(packets)] == [600]
        # A super-packet is as long as its segments.
        assert len(trial.feed([super_packet(8, payload=500)], segment_size=500)) == 8
        assert trial.counts["drops"] == {"too_big": 1}


def test_more_than_it_may_hold_is_dropped_and_counted() -> None:
    stage = Impair(delay_ms=10)
    stage.hold_frames = 5
    with Trial(stage) as trial:
        trial.feed(numbered(8), 0)
        assert trial.counts["drops"] == {"hold_overflow": 3}
        assert numbers(trial.until(10 * MS)) == [0, 1, 2, 3, 4]


def test_what_waits_is_handed_over_and_keeps_its_order() -> None:
    packets = numbered(6)
    with Trial(Impair(delay_ms=10)) as trial:
        trial.feed(packets[:3], 0)
        trial.change(Impair(delay_ms=1))
        # With the new, shorter delay the later ones may not overtake.
        trial.feed(packets[3:], 5 * MS)
        assert trial.until(9 * MS) == []
        assert numbers(trial.until(10 * MS)) == [0, 1, 2, 3, 4, 5]
        assert (trial.counts["failures"], trial.drops) == (0, {})


def test_what_was_in_disorder_may_stay_so_when_its_order_is_to_be_kept_again() -> None:
    with Trial(Impair(jitter_ms=10)) as trial:
        trial.feed(numbered(30), 0)
        trial.change(Impair(delay_ms=1))
        assert numbers(trial.until(20 * MS)) == list(range(30))


def test_the_same_options_go_on_with_the_same_dice() -> None:
    packets = numbered(100)
    with Trial(Impair(loss=0.4)) as trial:
        whole = numbers(trial.feed(packets))
    with Trial(Impair(loss=0.4)) as trial:
        first = numbers(trial.feed(packets[:50]))
        trial.change(Impair(loss=0.4))
        assert first + numbers(trial.feed(packets[50:])) == whole


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"loss": 1.1}, "<= 1"),
        ({"reorder": 0.1}, "reorder needs reorder_ms"),
        ({"queue_ms": 1}, "queue_ms needs rate_mbit"),
        ({"mtu": -1}, ">= 0"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=words):
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
def test_nothing_vanishes_and_order_is_kept_where_it_was_promised(
    batches: list[tuple[int, int]], **options: Any
) -> None:
    options["reorder_ms"] = 5.0 if options["reorder"] else 0.0
    packets = numbered(sum(count for count, _ in batches))
    left: list[int] = []
    with Trial(Impair(**options)) as trial:
        now_ns, given_ = 0, 0
        for count, pause in batches:
            now_ns += pause * MS
            left += numbers(trial.feed(packets[given_ : given_ + count], now_ns))
            given_ += count
        left += numbers(trial.until(now_ns + 1000 * MS))
        counters = trial.counts
    assert counters["failures"] == 0
    assert counters["held_frames"] == 0
    assert len(left) + counters["drops"].get("lost", 0) == len(packets) + counters["created"]
    if not trial.stage.reorders:
        assert left == sorted(left)
