"""The conservation law, as the lab judges it."""

from typing import Any

from pyfw.demo.counter_checks import drops, gso, imbalances, late


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


def test_a_vanished_packet_is_an_imbalance_of_its_path() -> None:
    for path in ("outbound", "inbound"):
        wrong = counters()
        wrong[path]["left"] -= 1
        assert [text.split(":")[0] for text in imbalances(wrong)] == [path]


def test_a_made_up_datagram_is_an_imbalance() -> None:
    wrong = counters()
    wrong["datagrams"]["keepalives"] += 1
    assert len(imbalances(wrong)) == 1


def test_a_packet_lost_between_datagrams_and_inbound_is_an_imbalance() -> None:
    wrong = counters()
    wrong["inbound"]["entered"] -= 1
    wrong["inbound"]["left"] -= 1
    assert len(imbalances(wrong)) == 1


def test_only_reasons_with_drops_are_named() -> None:
    assert drops(counters()) == {"outbound.no_route": 2, "datagrams.forged": 1}


def test_batches_have_a_mean_even_if_there_were_none() -> None:
    assert gso(counters()).mean == 1.75
    assert gso({"gso": {"batches": 0, "datagrams": 0, "sizes": [0] * 8}}).mean == 0
    assert late(counters()) == 0
