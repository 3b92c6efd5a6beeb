"""Targets are met or missed at their bounds."""

import msgspec
import pytest

from bench.results import Record, Results
from bench.targets import MET, MISSED, NOT_MEASURED, Target, evaluate, exit_status
from tests.bench.example_run import NET, document


def by_label(changes: dict[str, float] | None = None) -> dict[str, Target]:
    return {target.label: target for target in evaluate(Results(document(changes=changes)))}


def states(changes: dict[str, float] | None = None) -> dict[str, str]:
    return {label: target.state for label, target in by_label(changes).items()}


def test_example_run_meets_every_target() -> None:
    assert set(states().values()) == {MET}
    assert exit_status(list(by_label().values()), rounds=5) == 0


@pytest.mark.parametrize(
    ("change", "value", "label"),
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
            "pyfw (ipsec-mb): one TCP flow up, CPU, over the machine's baseline",
        ),
        (
            "udp-64-30000 pyfw cpu_us_packet",
            4.1,
            "pyfw (ipsec-mb): UDP, 64 B at 30,000 per second, CPU, over boringtun",
        ),
        (
            "udp-64-flood pyfw received_s",
            269_000,
            "pyfw (ipsec-mb): UDP flood, 64 B, received, over boringtun",
        ),
        ("rtt-idle pyfw p50_us", 101, "pyfw (ipsec-mb): ping, idle, delay, over boringtun"),
        (
            "tcp-1-up pyfw p50_us",
            2001,
            "pyfw (ipsec-mb): one TCP flow up, delay, over Tailscale's fork",
        ),
        ("tcp-8-down pyfw late", 1, "late counters in all rounds"),
        (
            "tcp-1-up pyfw out_of_order",
            1,
            "out-of-order segments without a counted drop",
        ),
        ("memory pyfw peak_rss_mib", 65, "pyfw (ipsec-mb): peak memory of a daemon under load"),
    ],
)
def test_value_beyond_a_bound_misses_only_that_target(
    change: str, value: float, label: str
) -> None:
    missed = {name for name, state in states({change: value}).items() if state != MET}
    assert missed == {label}


def test_each_cipher_has_its_own_bound() -> None:
    found = by_label()
    flow = "one TCP flow up, throughput, over Tailscale's fork"
    assert found[f"pyfw (ipsec-mb): {flow}"].bound == 2.0
    assert found[f"pyfw (ring): {flow}"].bound == 1.6


def test_baseline_is_the_path_without_cipher_plus_the_cipher() -> None:
    found = by_label()["pyfw (ipsec-mb): one TCP flow up, CPU, over the machine's baseline"].found
    assert found is not None
    # 1.2 over 0.5 and 0.5, sealed and opened.
    assert found.value == pytest.approx(1.2)


def test_counted_drop_explains_out_of_order_segments() -> None:
    run = document(changes={"tcp-1-up pyfw out_of_order": 3})
    records = [
        msgspec.structs.replace(one, drops={"TUN queue": 1})
        if (one.candidate, one.measure) == ("pyfw", "tcp-1-up")
        else one
        for one in run.records
    ]
    found = evaluate(Results(msgspec.structs.replace(run, records=records)))
    assert {target.state for target in found} == {MET}


def test_failed_measure_of_pyfw_misses_a_target() -> None:
    run = document()
    failed = Record(round=1, net=NET, candidate="pyfw", measure="requests", failed="no answer")
    found = evaluate(Results(msgspec.structs.replace(run, records=[*run.records, failed])))
    assert [target.what for target in found if target.state == MISSED] == ["failed measures"]


def test_unmeasured_target_is_neither_met_nor_missed() -> None:
    run = document()
    records = [one for one in run.records if one.candidate != "tailscale"]
    found = evaluate(Results(msgspec.structs.replace(run, records=records)))
    states_found = {target.label: target.state for target in found}
    flow = "pyfw (ipsec-mb): one TCP flow up, throughput, over Tailscale's fork"
    assert states_found[flow] == NOT_MEASURED
    assert exit_status(found, rounds=5) == 2


def test_missed_target_outweighs_an_unmeasured_one() -> None:
    found = [
        Target("a", "", "", "at least", 1, None),
        *by_label({"rtt-idle pyfw p50_us": 999}).values(),
    ]
    assert exit_status(found, rounds=5) == 1


def test_fewer_than_five_rounds_give_no_verdict() -> None:
    assert exit_status(evaluate(Results(document(rounds=4))), rounds=4) == 2
