"""Random flows over random wires, through the real data plane: nothing vanishes, nothing overtakes."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyfw import _native
from pyfw.replay.case import Case, Drain, Impairment
from pyfw.replay.files import json_text
from pyfw.replay.plan import opened, plan_of
from pyfw.replay.runner import Judged, Task, run_all
from tests.replay.packets import flows, write_pcap

# Flow, payload length, ECN, microseconds since the one before.
STEPS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.one_of(st.sampled_from([1228, 834, 1300, 1]), st.integers(1, 1300)),
        st.integers(0, 3),
        st.sampled_from([0, 1, 10, 200]),
    ),
    min_size=1,
    max_size=60,
)
FRACTION = st.one_of(st.just(0.0), st.floats(0, 0.5))
WIRES = st.builds(
    Impairment,
    loss=FRACTION,
    loss_burst=st.sampled_from([0.0, 3.0]),
    delay_ms=st.sampled_from([0.0, 20.0]),
    jitter_ms=st.sampled_from([0.0, 2.0]),
    reorder=FRACTION,
    reorder_ms=st.sampled_from([0.0, 1.0]),
    duplicate=FRACTION,
    corrupt=FRACTION,
    ce=FRACTION,
    mtu=st.sampled_from([0, 900]),
    rate_mbit=st.sampled_from([0.0, 10.0]),
    queue_ms=st.sampled_from([0.0, 1.0]),
)
FRAMES = st.sampled_from(["captured", "tso"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("captures")


def replayed(folder: Path, steps: Any, rule: str = "ordered", **fields: Any) -> dict[str, Any]:
    path = write_pcap(folder / "random.pcap", flows(steps))
    with opened(Case(name="random", capture=str(path), keep=100_000, **fields)) as case:
        return _native.replay(plan_of(case, rule))


def total(result: dict[str, Any], field: str) -> int:
    return sum(flow[field] for flow in result["flows"])


@settings(deadline=None)
@given(steps=STEPS, frames=FRAMES, window_us=st.sampled_from([0, 5, 1000]))
def test_over_a_clean_wire_everything_arrives_in_order(
    folder: Path, steps: Any, frames: str, window_us: int
) -> None:
    result = replayed(folder, steps, frames=frames, drain=Drain(window_us=window_us))
    assert (result["packets"], total(result, "segments")) == (len(steps), len(steps))
    assert total(result, "delivered") == len(steps)
    for field in ("lost", "duplicates", "early", "late", "gaps", "spurious"):
        assert total(result, field) == 0, field
    assert all(flow["bytes_equal"] for flow in result["flows"])


@settings(deadline=None)
@given(steps=STEPS, frames=FRAMES, wire=WIRES, seed=st.integers(0, 1000))
def test_nothing_vanishes_whatever_the_wire_does(
    folder: Path, steps: Any, frames: str, wire: Impairment, seed: int
) -> None:
    result = replayed(folder, steps, frames=frames, impairment={"client": wire}, seed=seed)
    for flow in result["flows"]:
        assert flow["segments"] == flow["delivered"] + flow["lost"]
        assert flow["bytes_equal"]
    for end in result["ends"].values():
        for side in ("outbound", "inbound"):
            counters = end["counters"][side]
            dropped = sum(counters["drops"].values())
            came = counters["entered"] + counters["created"]
            assert came == counters["left"] + counters["queued"] + dropped
        datagrams = end["counters"]["datagrams"]
        kinds = ("data", "handshakes", "cookies", "keepalives", "others")
        known = sum(datagrams[kind] for kind in kinds)
        assert datagrams["received"] == known + sum(datagrams["drops"].values())
    fates = Counter(what for _, end, _, what in result["fates"] if end == "client")
    sent = sum(len(batch["lengths"]) for batch in result["batches"] if batch["end"] == "client")
    gone = fates["lost"] + fates["too_big"] + fates["queue_full"]
    gateway = result["ends"]["gateway"]["counters"]
    assert sent + fates["duplicated"] - gone == gateway["datagrams"]["received"]
    assert total(result, "delivered") + total(result, "duplicates") == gateway["inbound"]["left"]
    # Counters are drawn once: what came twice is refused, and never delivered twice.
    assert total(result, "duplicates") == 0


@settings(deadline=None)
@given(steps=STEPS, loss=FRACTION, ce=FRACTION, corrupt=FRACTION, delay_ms=st.floats(0, 50))
def test_a_wire_that_does_not_reorder_is_never_reordered_on(
    folder: Path, steps: Any, loss: float, ce: float, corrupt: float, delay_ms: float
) -> None:
    wire = Impairment(loss=loss, ce=ce, corrupt=corrupt, delay_ms=delay_ms)
    result = replayed(folder, steps, impairment={"": wire})
    assert total(result, "late") == 0
    assert result["ends"]["gateway"]["counters"]["inbound"]["late"] == 0


@settings(deadline=None)
@given(steps=STEPS)
def test_unbatched_sends_as_many_as_there_are_segments_and_ordered_never_more(
    folder: Path, steps: Any
) -> None:
    unbatched, ordered = (replayed(folder, steps, rule) for rule in ("unbatched", "ordered"))
    assert unbatched["sends_saved"] == 0
    assert total(unbatched, "late") == total(ordered, "late") == 0
    assert ordered["batch_count"] + ordered["sends_saved"] == unbatched["batch_count"]


def test_the_same_input_gives_the_same_bytes_on_one_and_on_several_processes(
    folder: Path,
) -> None:
    steps = [(i % 4, 200 + 37 * i % 1000, i % 4, i % 3) for i in range(200)]
    path = write_pcap(folder / "fixed.pcap", flows(steps))
    wire = Impairment(loss=0.1, jitter_ms=1, duplicate=0.1, corrupt=0.05, reorder=0.1, reorder_ms=2)
    case = Case(name="fixed", capture=str(path), impairment={"": wire})
    tasks = [
        Task(name="fixed", case=case, rule=rule) for rule in ("ordered", "by-size", "by-ecn")
    ] * 2

    def text(jobs: int) -> str:
        judged: list[Judged] = list(run_all(tasks, jobs, None))
        assert all(one.result is not None for one in judged)
        return json_text(judged)

    once = text(1)
    assert once == text(1)
    assert once == text(2)
    assert len(set(once.splitlines()[1:4])) == 3


def test_a_rule_that_is_none_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="by-luck"):
        replayed(folder, [(0, 1, 0, 0)], "by-luck")


@settings(deadline=None)
@given(cut=st.integers(0, 24 + 5 * (16 + 28 + 100)))
def test_a_capture_that_is_cut_is_replayed_up_to_the_cut(folder: Path, cut: int) -> None:
    content = write_pcap(folder / "whole.pcap", flows([(1, 100, 0, 1)] * 5)).read_bytes()
    path = folder / "cut.pcap"
    path.write_bytes(content[:cut])
    with opened(Case(name="cut", capture=str(path))) as case:
        result = _native.replay(plan_of(case, "ordered"))
    whole, rest = divmod(max(cut - 24, 0), 16 + 28 + 100)
    assert result["packets"] == total(result, "delivered") == whole
    assert (result["error"] is None) == (cut >= 24 and rest == 0)
    assert result["error"] is None or result["error"]["offset"] <= cut
