"""The expected outcome: its text, and what is said where it is another."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyfw.replay.compare import differences
from pyfw.replay.outcome import decode, encode, flat, outcome_of
from tests.replay.fake_result import BY_SIZE, ORDERED, seed_batch, seed_result


def of(groups: Any) -> dict[str, Any]:
    return outcome_of(seed_result() | {"batches": [seed_batch(group) for group in groups]})


def test_an_outcome_differs_from_itself_in_nothing_also_through_a_file() -> None:
    outcome = outcome_of(seed_result())
    assert differences(outcome, outcome) == []
    assert differences(decode(encode(outcome)), outcome) == []


def test_a_batch_and_a_flow_stand_on_a_line_each() -> None:
    lines = encode(outcome_of(seed_result())).splitlines()
    assert sum('"payload": [1228, 834]' in line for line in lines) == 2
    assert sum('"protocol": "tcp"' in line for line in lines) == 1
    assert all(len(json.loads(line.rstrip(","))["flows"]) for line in lines if '"from"' in line)


def test_nothing_of_the_machines_clock_is_expected() -> None:
    slower = seed_result() | {"wall_ns": 10**12, "cipher_ns": 10**11}
    assert encode(outcome_of(slower)) == encode(outcome_of(seed_result()))


def test_a_shorter_batch_is_named_with_its_end_and_flow() -> None:
    expected, got = of(ORDERED), of([*ORDERED[:2], (3,), *ORDERED[3:]])
    assert differences(expected, got) == [
        "batch 3 of client (flow 0): expected [1228 834], got [1228]"
    ]


def test_a_batch_that_splits_shifts_none_of_those_behind_it() -> None:
    got = of([ORDERED[0], (2,), (3,), (4,), *ORDERED[3:]])
    assert differences(of(ORDERED), got) == [
        "batch 3 of client (flow 0): expected [1228 834], got [1228]",
        "batch 4 of client (flow 0): expected none, got [834]",
    ]


def test_a_batch_that_is_missing_is_named() -> None:
    assert differences(of(ORDERED), of(ORDERED[:4])) == [
        "batch 5 of client (flow 0): expected [1228 1228], got none"
    ]


def test_a_batch_of_the_same_lengths_that_goes_elsewhere_says_where() -> None:
    got = of(ORDERED)
    got["batches"]["client"][1]["to"] = "192.0.2.9:1"
    assert differences(of(ORDERED), got) == [
        "batch 2 of client (flow 0): [1031]: to expected 192.0.2.1:51820, got 192.0.2.9:1"
    ]


def test_messages_without_packets_take_no_number() -> None:
    def with_handshake(size: int) -> dict[str, Any]:
        outcome = of(ORDERED)
        message = {"from": "", "to": "", "ecn": 0, "size": size, "lengths": [size]}
        outcome["batches"]["client"].insert(0, message | {"payload": [0], "flows": [-1]})
        return outcome

    got = with_handshake(92)
    got["batches"]["client"][3] = of([(3,)])["batches"]["client"][0]
    assert differences(with_handshake(148), got) == [
        "message before batch 1 of client: expected [(148)], got [(92)]",
        "batch 3 of client (flow 0): expected [1228 834], got [1228]",
    ]


def test_a_flow_out_of_order_says_its_addresses_and_counts() -> None:
    found = differences(outcome_of(seed_result()), outcome_of(seed_result("by-size")))
    assert (
        "flow 0 (tcp 10.128.15.241:3000 > 100.69.109.138:53474): early expected 0, got 5; "
        "late expected 0, got 4; distance expected 0, got 4; extent expected 0, got 4"
    ) in found
    assert "batch_count: expected 5, got 4" in found
    assert "batches of size 6: expected 0, got 1" in found
    assert found[0].startswith("batch 1 of client (flow 0): expected [1228 834], got [1228 1228")


def test_a_new_counter_that_is_zero_changes_nothing() -> None:
    result = seed_result()
    result["ends"]["client"]["counters"]["inbound"] = {"new": 0, "drops": {"newer": 0}}
    assert differences(outcome_of(seed_result()), outcome_of(result)) == []
    result["ends"]["client"]["counters"]["inbound"]["drops"]["newer"] = 2
    assert differences(outcome_of(seed_result()), outcome_of(result)) == [
        "counter of client: inbound.drops.newer: expected 0, got 2"
    ]


def test_fates_are_counted_by_end_and_kind() -> None:
    fates = {"client.lost": 2, "gateway.delayed": 1}
    outcome = outcome_of(seed_result() | {"fate_counts": fates})
    assert outcome["fates"] == {"client": {"lost": 2}, "gateway": {"delayed": 1}}
    assert differences(outcome_of(seed_result()), outcome) == [
        "wire from client: lost: expected 0, got 2",
        "wire from gateway: delayed: expected 0, got 1",
    ]


def test_an_error_of_the_capture_is_expected_like_everything_else() -> None:
    broken = outcome_of(seed_result() | {"error": {"offset": 24, "text": "cut"}})
    assert differences(broken, broken) == []
    assert differences(outcome_of(seed_result()), broken) == [
        "error: expected none, got cut (offset 24)"
    ]


def test_counters_are_flat_and_sorted() -> None:
    assert list(flat({"b": 1, "a": {"z": 2, "drops": {"y": 0, "x": 3}}, "sizes": {1: 2}})) == [
        "a.drops.x",
        "a.z",
        "b",
    ]


@given(st.lists(st.sampled_from(ORDERED + BY_SIZE)), st.lists(st.sampled_from(ORDERED + BY_SIZE)))
def test_lists_of_batches_differ_exactly_where_something_is_said(old: Any, new: Any) -> None:
    # Different segments may make the same batch.
    found = differences(of(old), of(new))
    assert bool(found) == (of(old)["batches"] != of(new)["batches"])
    assert len(found) <= max(len(old), len(new)) + min(len(old), len(new))


def test_long_lists_are_compared_by_position() -> None:
    old = of([(0, 1)] * 5000)
    new = of([*[(0, 1)] * 100, *[(2,)] * 4900])
    assert len(differences(old, new)) == 4900


def test_an_expectation_of_another_version_says_what_to_do() -> None:
    text = encode(outcome_of(seed_result())).replace('"payload"', '"inner"')
    with pytest.raises(ValueError, match="--update"):
        decode(text)
