"""Reading a daemon's counters, and checking that they account for every packet."""

from typing import Any

from lab.counter_checks import imbalances
from pyfw.demo.daemon_counters import drops, gso_batches, late


def counters() -> dict[str, Any]:
    """A daemon's counters, in balance."""
    path = {"created": 0, "queued": 1}
    return {
        "outbound": {**path, "entered": 10, "left": 7, "drops": {"no_route": 2, "too_big": 0}},
        "inbound": {**path, "entered": 5, "left": 4, "drops": {}, "late": 0},
        "datagrams": {
            "received": 9,
            "data": 5,
            "handshakes": 1,
            "cookies": 0,
            "keepalives": 2,
            "others": 0,
            "drops": {"forged": 1},
        },
        "gso": {"batches": 4, "datagrams": 7, "sizes": [3, 0, 1, 0, 0, 0, 0, 0]},
    }


def test_balanced_counters_have_no_imbalance() -> None:
    assert imbalances(counters()) == []


def test_missing_packet_is_an_imbalance_of_its_path() -> None:
    for path in ("outbound", "inbound"):
        wrong = counters()
        wrong[path]["left"] -= 1
        assert [text.split(":")[0] for text in imbalances(wrong)] == [path]


def test_surplus_datagram_is_an_imbalance() -> None:
    wrong = counters()
    wrong["datagrams"]["keepalives"] += 1
    assert len(imbalances(wrong)) == 1


def test_packet_lost_between_udp_and_inbound_is_an_imbalance() -> None:
    wrong = counters()
    wrong["inbound"]["entered"] -= 1
    wrong["inbound"]["left"] -= 1
    assert len(imbalances(wrong)) == 1


def test_drops_have_only_reasons_that_count() -> None:
    assert drops(counters()) == {"outbound.no_route": 2, "datagrams.forged": 1}


def test_mean_batch_of_none_is_zero() -> None:
    assert gso_batches(counters()).mean == 1.75
    assert gso_batches({"gso": {"batches": 0, "datagrams": 0, "sizes": [0] * 8}}).mean == 0
    assert late(counters()) == 0
