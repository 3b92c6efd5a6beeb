"""What is measured, with whom, and how long it takes."""

from bench.candidates import Candidate
from bench.plan import MAIN, NETS, full, narrowed, quick
from bench.results import Results
from bench.targets import NOT_MEASURED, ROUNDS, bars
from lab import Implementation
from tests.bench.made_up import ENTRIES, VALUES, document

# Beside its window, a measure warms up and comes to its end, and a candidate is started and stopped.
_EACH_S, _START_S = 0.6, 1.5


def candidates() -> list[Candidate]:
    program = Implementation("some", ("true",))
    kinds = {entry.name: entry.kind for entry in ENTRIES} | {"bare": "floor"}
    kinds |= dict.fromkeys(("wireguard-go", "gotatun"), "peer")
    return [Candidate(name, kind, name, "1", program) for name, kind in kinds.items()]


def test_the_short_set_of_five_rounds_takes_under_five_minutes() -> None:
    seconds = 0.0
    for plan in quick():
        for candidate in candidates():
            steps = [step for step in plan.steps if step.takes_part(candidate)]
            seconds += _START_S * bool(steps) + sum(step.seconds + _EACH_S for step in steps)
    assert seconds * ROUNDS < 290


def test_the_short_set_measures_all_that_the_bars_ask_for() -> None:
    (plan,) = quick()
    took_part = {
        (step.measure.name, candidate.name)
        for step in plan.steps
        for candidate in candidates()
        if step.takes_part(candidate)
    }
    kept = {
        measure: {
            name: values
            for name, values in rows.items()
            if measure in ("memory", "cipher") or (measure, name) in took_part
        }
        for measure, rows in VALUES.items()
    }
    assert kept == VALUES, "the made-up run has what bars need, and nothing else"
    assert NOT_MEASURED not in {bar.state for bar in bars(Results(document()))}


def test_the_long_set_has_all_that_the_short_one_has() -> None:
    def of(plans: list[str]) -> set[str]:
        return set(plans)

    long = {step.measure.name for plan in full() for step in plan.steps}
    assert {step.measure.name for plan in quick() for step in plan.steps} <= long
    assert [plan.net for plan in full()] == list(NETS)


def test_every_network_carries_its_mtu_over_either_ip() -> None:
    # 40 of IPv6, 8 of UDP, 32 of WireGuard.
    assert all(net.link_mtu >= net.mtu + 80 for net in NETS)
    assert MAIN.link_mtu == 1500


def test_patterns_narrow_measures_and_networks() -> None:
    found = narrowed(full(), ["tcp-1-*"], ["ipv6-*"])
    assert [plan.net.name for plan in found] == ["ipv6-1420", "ipv6-1280", "ipv6-8920"]
    names = {step.measure.name for plan in found for step in plan.steps}
    assert names == {"tcp-1-up", "tcp-1-down"}
    assert narrowed(full(), ["nothing"], []) == []
    assert narrowed(full(), [], []) == full()
