"""Random flows over random wires: every packet is accounted for, and pyfw reorders none."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyfw import _native
from pyfw.replay.case import Case, Drain, Impairment
from pyfw.replay.prepare import prepared
from tests.replay.packets import flows, write_pcap

# Flow, payload length, ECN field, microseconds since the last packet.
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


def replay(folder: Path, steps: Any, rule: str = "ordered", **fields: Any) -> dict[str, Any]:
    path = write_pcap(folder / "random.pcap", flows(steps))
    fields |= {"capture": str(path), "keep": 100_000, "rule": rule}
    with prepared(Case(name="random", **fields)) as case:
        return _native.replay(case)


def total(result: dict[str, Any], field: str) -> int:
    return sum(flow[field] for flow in result["flows"])


@settings(deadline=None)
@given(steps=STEPS, frames=FRAMES, window_us=st.sampled_from([0, 5, 1000]))
def test_a_clean_wire_delivers_everything_in_order(
    folder: Path, steps: Any, frames: str, window_us: int
) -> None:
    result = replay(folder, steps, frames=frames, drain=Drain(window_us=window_us))
    assert (result["packets"], total(result, "segments")) == (len(steps), len(steps))
    assert total(result, "delivered") == len(steps)
    for field in ("lost", "duplicates", "early", "late", "gaps", "spurious"):
        assert total(result, field) == 0, field
    assert all(flow["bytes_equal"] for flow in result["flows"])
    unbatched = replay(folder, steps, "unbatched", frames=frames)
    assert (unbatched["sends_saved"], total(unbatched, "late")) == (0, 0)
    assert result["batch_count"] + result["sends_saved"] == unbatched["batch_count"]


@settings(deadline=None)
@given(steps=STEPS, frames=FRAMES, wire=WIRES, seed=st.integers(0, 1000))
def test_every_packet_is_accounted_for_on_any_wire(
    folder: Path, steps: Any, frames: str, wire: Impairment, seed: int
) -> None:
    result = replay(folder, steps, frames=frames, impairment={"client": wire}, seed=seed)
    for flow in result["flows"]:
        assert flow["segments"] == flow["delivered"] + flow["lost"]
        assert flow["bytes_equal"]
    for end in result["ends"].values():
        for side in ("outbound", "inbound"):
            counters = end["counters"][side]
            drops = sum(counters["drops"].values())
            total_in = counters["entered"] + counters["created"]
            assert total_in == counters["left"] + counters["queued"] + drops
        datagrams = end["counters"]["datagrams"]
        kinds = ("data", "handshakes", "cookies", "keepalives", "others")
        known = sum(datagrams[kind] for kind in kinds)
        assert datagrams["received"] == known + sum(datagrams["drops"].values())
    events = Counter(kind for _, end, _, kind in result["fates"] if end == "client")
    sent = sum(len(batch["lengths"]) for batch in result["batches"] if batch["end"] == "client")
    dropped = events["lost"] + events["too_big"] + events["queue_full"]
    gateway = result["ends"]["gateway"]["counters"]
    assert sent + events["duplicated"] - dropped == gateway["datagrams"]["received"]
    assert total(result, "delivered") + total(result, "duplicates") == gateway["inbound"]["left"]
    # The replay window drops a duplicate, so nothing is delivered twice.
    assert total(result, "duplicates") == 0


@settings(deadline=None)
@given(steps=STEPS, loss=FRACTION, ce=FRACTION, corrupt=FRACTION, delay_ms=st.floats(0, 50))
def test_pyfw_adds_no_reordering_to_an_ordered_wire(
    folder: Path, steps: Any, loss: float, ce: float, corrupt: float, delay_ms: float
) -> None:
    wire = Impairment(loss=loss, ce=ce, corrupt=corrupt, delay_ms=delay_ms)
    result = replay(folder, steps, impairment={"": wire})
    assert total(result, "late") == 0
    assert result["ends"]["gateway"]["counters"]["inbound"]["late"] == 0


def test_an_unknown_rule_is_an_error(folder: Path) -> None:
    with pytest.raises(ValueError, match="by-luck"):
        replay(folder, [(0, 1, 0, 0)], "by-luck")


@settings(deadline=None)
@given(cut=st.integers(0, 24 + 5 * (16 + 28 + 100)))
def test_a_truncated_capture_is_replayed_up_to_its_end(folder: Path, cut: int) -> None:
    content = write_pcap(folder / "whole.pcap", flows([(1, 100, 0, 1)] * 5)).read_bytes()
    path = folder / "cut.pcap"
    path.write_bytes(content[:cut])
    with prepared(Case(name="cut", capture=str(path))) as case:
        result = _native.replay(case)
    complete, rest = divmod(max(cut - 24, 0), 16 + 28 + 100)
    assert result["packets"] == total(result, "delivered") == complete
    assert (result["error"] is None) == (cut >= 24 and rest == 0)
    assert result["error"] is None or result["error"]["offset"] <= cut
