"""Medians, spreads and ratios of a run."""

from pathlib import Path

import msgspec
import pytest

from bench.results import Document, Record, Results, Spread, ratio, spread
from tests.bench.example_run import NET, document


def results(*records: Record) -> Results:
    return Results(msgspec.structs.replace(document(), records=list(records)))


def record(number: int, candidate: str, gbit_s: float) -> Record:
    values = {"gbit_s": gbit_s}
    return Record(round=number, net=NET, candidate=candidate, measure="tcp-1-up", values=values)


def test_spread_is_median_lowest_and_highest() -> None:
    assert spread([9.0, 1.0, 2.0]) == Spread(2.0, 1.0, 9.0)
    assert spread([]) is None


def test_ratio_is_of_medians_and_its_spread_of_rounds() -> None:
    found = ratio({1: 4.0, 2: 6.0, 3: 8.0}, {1: 2.0, 2: 4.0, 3: 2.0})
    # 6 / 2; the rounds had 2, 1.5 and 4.
    assert found == Spread(3.0, 1.5, 4.0)


def test_round_of_one_side_is_not_in_the_spread() -> None:
    assert ratio({1: 4.0, 2: 100.0}, {1: 2.0}) == Spread(26.0, 2.0, 2.0)


@pytest.mark.parametrize(("ours", "theirs"), [({}, {1: 1.0}), ({1: 1.0}, {}), ({1: 1.0}, {1: 0.0})])
def test_no_ratio_without_values(ours: dict[int, float], theirs: dict[int, float]) -> None:
    assert ratio(ours, theirs) is None


def test_failed_round_is_only_a_failure() -> None:
    failed = Record(
        round=2, net=NET, candidate="pyfw", measure="tcp-1-up", failed="nothing arrived"
    )
    found = results(record(1, "pyfw", 4.0), failed, record(3, "pyfw", 6.0))
    assert found.spread(NET, "tcp-1-up", "pyfw", "gbit_s") == Spread(5.0, 4.0, 6.0)
    assert found.failures() == [failed]


def test_best_peer_depends_on_the_quantity() -> None:
    found = Results(document())
    assert found.best_peer(NET, "udp-64-flood", "received_s") == "boringtun"
    assert found.best_peer(NET, "tcp-1-up", "gbit_s") == "tailscale"
    assert found.best_peer(NET, "rtt-idle", "p50_us") == "boringtun"
    assert found.best_peer(NET, "requests", "requests_s") is None


def test_counts_and_drops_are_summed_over_rounds() -> None:
    one = Record(
        round=1,
        net=NET,
        candidate="pyfw",
        measure="udp-64-flood",
        values={"late": 1.0},
        drops={"TUN queue": 5},
    )
    two = msgspec.structs.replace(one, round=2, drops={"TUN queue": 7, "links": 1})
    found = results(one, two)
    assert found.count(NET, "udp-64-flood", "pyfw", "late") == 2
    assert found.count(NET, "udp-64-flood", "tailscale", "late") is None
    assert found.drops(NET, "udp-64-flood", "pyfw") == {"TUN queue": 12, "links": 1}


def test_document_survives_saving_and_loading(tmp_path: Path) -> None:
    written = document()
    written.save(tmp_path / "run.json")
    assert Document.load(tmp_path / "run.json") == written


def test_invalid_document_is_rejected(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text('{"rounds": "five"}')
    with pytest.raises(ValueError, match="int"):
        Document.load(file)


def test_candidates_are_in_document_order_then_ciphers() -> None:
    found = Results(document())
    assert found.candidates(NET, "tcp-1-up") == ["pyfw", "pyfw-ring", "cipher-off", "tailscale"]
    assert found.candidates(NET, "cipher") == ["ipsec-mb", "ring"]
