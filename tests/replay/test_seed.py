"""The seed's batches, and a flow whose ECN field changes, under every rule."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from pyfw import _native
from pyfw.replay.case import load
from pyfw.replay.expectation import expectation_from
from pyfw.replay.prepare import prepared

CASES = Path(__file__).parents[2] / "pcaps" / "gso_egress"


def replay(name: str, rule: str) -> dict[str, Any]:
    with prepared(load(CASES / name / "case.replay.toml")) as case:
        return _native.replay(msgspec.structs.replace(case, rule=rule))


def flow(result: dict[str, Any]) -> dict[str, Any]:
    (only,) = result["flows"]
    return dict(only)


def data_batches(result: dict[str, Any]) -> list[list[int]]:
    # A data message adds 32 B to the padded packet (whitepaper §5.4.6), whose headers take 52 B.
    return [batch["lengths"] for batch in result["batches"] if 0 in batch["flows"]]


def message(payload: int) -> int:
    return 32 + (payload + 52 + 15) // 16 * 16


@pytest.mark.parametrize("name", ["seed-trace", "seed-trace-under-tso"])
def test_ordered_gives_five_batches_in_order(name: str) -> None:
    result = replay(name, "ordered")
    five = [[1228, 834], [1031], [1228, 834], [1228, 1228, 637], [1228, 1228]]
    assert data_batches(result) == [[message(length) for length in batch] for batch in five]
    assert (flow(result)["early"], flow(result)["late"]) == (0, 0)


def test_tso_does_not_change_the_wire() -> None:
    plain, tso = (replay(name, "ordered") for name in ("seed-trace", "seed-trace-under-tso"))
    assert expectation_from(plain)["batches"] == expectation_from(tso)["batches"]


def test_by_size_reorders_the_seed() -> None:
    result = replay("seed-trace", "by-size")
    assert [len(batch) for batch in data_batches(result)] == [6, 1, 2, 1]
    assert flow(result)["early"] > 0
    assert flow(result)["late"] == 4


def test_by_ecn_reorders_a_flow_whose_ecn_changes() -> None:
    by_ecn = flow(replay("ecn-changes-mid-flow", "by-ecn"))
    assert by_ecn["early"] > 0
    assert by_ecn["late"] == 4
    ordered = flow(replay("ecn-changes-mid-flow", "ordered"))
    assert (ordered["early"], ordered["late"]) == (0, 0)
    # The seed has one ECN field, so PR 8920 keeps its order.
    seed = flow(replay("seed-trace", "by-ecn"))
    assert (seed["early"], seed["late"]) == (0, 0)
