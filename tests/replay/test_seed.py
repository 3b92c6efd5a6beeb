"""What the project exists for: the seed's batches, and a flow whose ECN changes, under every rule."""

from pathlib import Path
from typing import Any

import pytest

from pyfw import _native
from pyfw.replay.case import load
from pyfw.replay.outcome import outcome_of
from pyfw.replay.plan import opened, plan_of

STAGE = Path(__file__).parents[2] / "pcaps" / "gso_egress"


def replayed(name: str, rule: str) -> dict[str, Any]:
    with opened(load(STAGE / name / "case.replay.toml")) as case:
        return _native.replay(plan_of(case, rule))


def flow(result: dict[str, Any]) -> dict[str, Any]:
    (only,) = result["flows"]
    return dict(only)


def data_batches(result: dict[str, Any]) -> list[list[int]]:
    # A message is 32 B and the padded packet (whitepaper §5.4.6); the headers inside have 52 B.
    return [batch["lengths"] for batch in result["batches"] if 0 in batch["flows"]]


def message(payload: int) -> int:
    return 32 + (payload + 52 + 15) // 16 * 16


@pytest.mark.parametrize("name", ["seed-trace", "seed-trace-under-tso"])
def test_ordered_gives_the_five_batches_and_nothing_out_of_order(name: str) -> None:
    result = replayed(name, "ordered")
    five = [[1228, 834], [1031], [1228, 834], [1228, 1228, 637], [1228, 1228]]
    assert data_batches(result) == [[message(length) for length in batch] for batch in five]
    assert (flow(result)["early"], flow(result)["late"]) == (0, 0)


def test_an_offload_changes_nothing_on_the_wire() -> None:
    plain, tso = (replayed(name, "ordered") for name in ("seed-trace", "seed-trace-under-tso"))
    assert outcome_of(plain)["batches"] == outcome_of(tso)["batches"]


def test_by_size_puts_the_seed_out_of_order() -> None:
    result = replayed("seed-trace", "by-size")
    assert [len(batch) for batch in data_batches(result)] == [6, 1, 2, 1]
    assert flow(result)["early"] > 0
    assert flow(result)["late"] == 4


def test_a_list_per_ecn_puts_a_flow_whose_ecn_changes_out_of_order() -> None:
    by_ecn = flow(replayed("ecn-changes-mid-flow", "by-ecn"))
    assert by_ecn["early"] > 0
    assert by_ecn["late"] == 4
    ordered = flow(replayed("ecn-changes-mid-flow", "ordered"))
    assert (ordered["early"], ordered["late"]) == (0, 0)
    # The seed has one ECN: there PR 8920 keeps the order.
    seed = flow(replayed("seed-trace", "by-ecn"))
    assert (seed["early"], seed["late"]) == (0, 0)
