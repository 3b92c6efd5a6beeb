"""The bars, judged."""

import msgspec
import pytest

from bench.results import Record, Results
from bench.targets import MET, MISSED, NOT_MEASURED, Bar, bars, exit_status
from tests.bench.made_up import NET, document


def judged(changes: dict[str, float] | None = None) -> dict[str, Bar]:
    return {bar.promise: bar for bar in bars(Results(document(changes=changes)))}


def states(changes: dict[str, float] | None = None) -> dict[str, str]:
    return {promise: bar.state for promise, bar in judged(changes).items()}


def test_a_run_in_which_all_is_as_promised_meets_every_bar() -> None:
    assert set(states().values()) == {MET}
    assert exit_status(list(judged().values()), rounds=5) == 0


@pytest.mark.parametrize(
    ("change", "value", "promise"),
    [
        (
            "tcp-1-up pyfw gbit_s",
            7.9,
            "pyfw (ipsec-mb): one TCP flow up, throughput, over Tailscale's fork",
        ),
        (
            "tcp-1-down pyfw-ring gbit_s",
            6.3,
            "pyfw (ring): one TCP flow down, throughput, over Tailscale's fork",
        ),
        (
            "tcp-8-up pyfw gbit_s",
            7.1,
            "pyfw (ipsec-mb): 8 TCP flows up, throughput, over Tailscale's fork",
        ),
        (
            "tcp-1-up pyfw-ring cpu_s_gb",
            1.81,
            "pyfw (ring): one TCP flow up, CPU, over Tailscale's fork",
        ),
        (
            "tcp-1-up pyfw cpu_s_gb",
            1.21,
            "pyfw (ipsec-mb): one TCP flow up, CPU, over the machine's floor",
        ),
        (
            "udp-64-30000 pyfw cpu_us_packet",
            4.1,
            "pyfw (ipsec-mb): UDP of 64 B at 30,000 a second, CPU, over boringtun",
        ),
        (
            "udp-64-flood pyfw received_s",
            269_000,
            "pyfw (ipsec-mb): UDP flood of 64 B, received, over boringtun",
        ),
        ("rtt-idle pyfw p50_us", 101, "pyfw (ipsec-mb): ping, idle, delay, over boringtun"),
        (
            "tcp-1-up pyfw p50_us",
            2001,
            "pyfw (ipsec-mb): one TCP flow up, delay, over Tailscale's fork",
        ),
        ("tcp-8-down pyfw late", 1, "late counters, of every round of every test"),
        (
            "tcp-1-up pyfw out_of_order",
            1,
            "out-of-order segments, where no drop was counted",
        ),
        ("memory pyfw peak_rss_mib", 65, "pyfw (ipsec-mb): peak memory of a daemon under load"),
    ],
)
def test_a_little_less_than_promised_misses_that_bar_alone(
    change: str, value: float, promise: str
) -> None:
    missed = {name for name, state in states({change: value}).items() if state != MET}
    assert missed == {promise}


def test_each_cipher_has_its_own_bound() -> None:
    found = judged()
    flow = "one TCP flow up, throughput, over Tailscale's fork"
    assert found[f"pyfw (ipsec-mb): {flow}"].bound == 2.0
    assert found[f"pyfw (ring): {flow}"].bound == 1.6


def test_the_floor_is_the_path_without_its_cipher_and_the_cipher_twice() -> None:
    found = judged()["pyfw (ipsec-mb): one TCP flow up, CPU, over the machine's floor"].found
    assert found is not None
    # 1.2 over 0.5 and 0.5, sealed and opened.
    assert found.value == pytest.approx(1.2)


def test_a_segment_out_of_order_is_explained_by_a_counted_drop() -> None:
    run = document(changes={"tcp-1-up pyfw out_of_order": 3})
    records = [
        msgspec.structs.replace(one, drops={"TUN queue": 1})
        if (one.candidate, one.measure) == ("pyfw", "tcp-1-up")
        else one
        for one in run.records
    ]
    found = bars(Results(msgspec.structs.replace(run, records=records)))
    assert {bar.state for bar in found} == {MET}


def test_a_measure_of_ours_that_failed_is_a_missed_bar() -> None:
    run = document()
    failed = Record(round=1, net=NET, candidate="pyfw", measure="requests", failed="no answer")
    found = bars(Results(msgspec.structs.replace(run, records=[*run.records, failed])))
    assert [bar.what for bar in found if bar.state == MISSED] == ["measures that failed"]


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    run = document()
    records = [one for one in run.records if one.candidate != "tailscale"]
    found = bars(Results(msgspec.structs.replace(run, records=records)))
    by_promise = {bar.promise: bar.state for bar in found}
    flow = "pyfw (ipsec-mb): one TCP flow up, throughput, over Tailscale's fork"
    assert by_promise[flow] == NOT_MEASURED
    assert exit_status(found, rounds=5) == 2


def test_a_missed_bar_outweighs_one_that_was_not_measured() -> None:
    bounds = [
        Bar("a", "", "", "at least", 1, None),
        *judged({"rtt-idle pyfw p50_us": 999}).values(),
    ]
    assert exit_status(bounds, rounds=5) == 1


def test_fewer_than_five_rounds_make_no_verdict() -> None:
    assert exit_status(bars(Results(document(rounds=4))), rounds=4) == 2
