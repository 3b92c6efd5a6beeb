"""Expectations: their text, and the lines that describe a difference."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyfw.replay.compare import differences
from pyfw.replay.expectation import decode, encode, expectation_from, flatten
from tests.replay.results import BY_SIZE, ORDERED, batch, result


def with_batches(groups: Any) -> dict[str, Any]:
    return expectation_from(result() | {"batches": [batch(group) for group in groups]})


def test_an_expectation_survives_its_file() -> None:
    expectation = expectation_from(result())
    assert differences(expectation, expectation) == []
    assert differences(decode(encode(expectation)), expectation) == []


def test_each_batch_and_flow_is_one_line() -> None:
    lines = encode(expectation_from(result())).splitlines()
    assert sum('"payload": [1228, 834]' in line for line in lines) == 2
    assert sum('"protocol": "tcp"' in line for line in lines) == 1
    assert all(len(json.loads(line.rstrip(","))["flows"]) for line in lines if '"from"' in line)


def test_expectations_do_not_depend_on_the_wall_clock() -> None:
    slower = result() | {"wall_ns": 10**12, "cipher_ns": 10**11}
    assert encode(expectation_from(slower)) == encode(expectation_from(result()))


def test_a_shorter_batch_is_named_with_end_and_flow() -> None:
    got = with_batches([*ORDERED[:2], (3,), *ORDERED[3:]])
    assert differences(with_batches(ORDERED), got) == [
        "batch 3 of gateway (flow 0): expected [1228 834], got [1228]"
    ]


def test_a_split_batch_does_not_shift_later_ones() -> None:
    got = with_batches([ORDERED[0], (2,), (3,), (4,), *ORDERED[3:]])
    assert differences(with_batches(ORDERED), got) == [
        "batch 3 of gateway (flow 0): expected [1228 834], got [1228]",
        "batch 4 of gateway (flow 0): expected none, got [834]",
    ]


def test_a_missing_batch_is_named() -> None:
    assert differences(with_batches(ORDERED), with_batches(ORDERED[:4])) == [
        "batch 5 of gateway (flow 0): expected [1228 1228], got none"
    ]


def test_a_batch_to_another_destination_is_named() -> None:
    got = with_batches(ORDERED)
    got["batches"]["gateway"][1]["to"] = "192.0.2.9:1"
    assert differences(with_batches(ORDERED), got) == [
        "batch 2 of gateway (flow 0): [1031]: to expected 192.0.2.2:51820, got 192.0.2.9:1"
    ]


def test_handshakes_are_not_numbered() -> None:
    def with_handshake(length: int) -> dict[str, Any]:
        expectation = with_batches(ORDERED)
        message = {"from": "", "to": "", "ecn": 0, "size": length, "lengths": [length]}
        expectation["batches"]["gateway"].insert(0, message | {"payload": [0], "flows": [-1]})
        return expectation

    got = with_handshake(92)
    got["batches"]["gateway"][3] = with_batches([(3,)])["batches"]["gateway"][0]
    assert differences(with_handshake(148), got) == [
        "message before batch 1 of gateway: expected [(148)], got [(92)]",
        "batch 3 of gateway (flow 0): expected [1228 834], got [1228]",
    ]


def test_a_reordered_flow_is_named_with_addresses_and_counts() -> None:
    lines = differences(expectation_from(result()), expectation_from(result("by-size")))
    assert (
        "flow 0 (tcp 10.128.15.241:3000 > 100.69.109.138:53474): early expected 0, got 6; "
        "late expected 0, got 4; distance expected 0, got 8; extent expected 0, got 8; "
        "spurious expected 0, got 4"
    ) in lines
    assert "batch_count: expected 5, got 4" in lines
    assert "batches of size 6: expected 0, got 1" in lines
    assert lines[0].startswith("batch 1 of gateway (flow 0): expected [1228 834], got [1228 1228")


def test_a_missing_flow_is_named() -> None:
    lines = differences(expectation_from(result()), expectation_from(result() | {"flows": []}))
    assert lines == [
        "flow 0 (tcp 10.128.15.241:3000 > 100.69.109.138:53474): expected 10 segments, got none"
    ]


def test_a_new_counter_at_zero_is_no_difference() -> None:
    changed = result()
    inbound = changed["ends"]["client"]["counters"]["inbound"]
    inbound |= {"new": 0, "drops": {"newer": 0}}
    assert differences(expectation_from(result()), expectation_from(changed)) == []
    inbound["drops"]["newer"] = 2
    assert differences(expectation_from(result()), expectation_from(changed)) == [
        "counter of client: inbound.drops.newer: expected 0, got 2"
    ]


def test_wire_events_are_counted_by_end_and_kind() -> None:
    fates = {"client.lost": 2, "gateway.delayed": 1}
    expectation = expectation_from(result() | {"fate_counts": fates})
    assert expectation["fates"] == {"client": {"lost": 2}, "gateway": {"delayed": 1}}
    assert differences(expectation_from(result()), expectation) == [
        "wire from client: lost: expected 0, got 2",
        "wire from gateway: delayed: expected 0, got 1",
    ]


def test_a_capture_error_is_part_of_the_expectation() -> None:
    corrupt = expectation_from(result() | {"error": {"offset": 24, "text": "cut"}})
    assert differences(corrupt, corrupt) == []
    assert differences(expectation_from(result()), corrupt) == [
        "error: expected none, got cut (offset 24)"
    ]


def test_counters_are_flat_and_sorted() -> None:
    assert list(flatten({"b": 1, "a": {"z": 2, "drops": {"y": 0, "x": 3}}, "sizes": {1: 2}})) == [
        "a.drops.x",
        "a.z",
        "b",
    ]


GROUPS = st.lists(st.sampled_from(ORDERED + BY_SIZE))


@given(GROUPS, GROUPS)
def test_only_different_batches_give_lines(old: Any, new: Any) -> None:
    # Different segments may make equal batches.
    expected, got = with_batches(old), with_batches(new)
    lines = differences(expected, got)
    assert bool(lines) == (expected["batches"] != got["batches"])
    assert len(lines) <= max(len(old), len(new)) + min(len(old), len(new))


def test_long_lists_are_compared_by_position() -> None:
    old = with_batches([(0, 1)] * 5000)
    new = with_batches([*[(0, 1)] * 100, *[(2,)] * 4900])
    assert len(differences(old, new)) == 4900


def test_an_expectation_of_another_version_says_what_to_do() -> None:
    text = encode(expectation_from(result())).replace('"payload"', '"inner"')
    with pytest.raises(ValueError, match="--update"):
        decode(text)
