"""The plans: their measures, candidates and duration."""

from bench.candidates import Candidate
from bench.plan import MAIN, NETWORKS, full, quick, select
from bench.results import Results
from bench.targets import NOT_MEASURED, ROUNDS, evaluate
from lab import Implementation
from tests.bench.example_run import ENTRIES, VALUES, document

# A measure warms up and ends beside its window; a candidate is started and stopped.
_EACH_S, _START_S = 0.6, 1.5


def candidates() -> list[Candidate]:
    program = Implementation("some", ("true",))
    kinds = {entry.name: entry.kind for entry in ENTRIES} | {"bare": "floor"}
    kinds |= dict.fromkeys(("wireguard-go", "gotatun"), "peer")
    return [Candidate(name, kind, name, "1", program) for name, kind in kinds.items()]


def test_five_quick_rounds_take_under_five_minutes() -> None:
    seconds = 0.0
    for plan in quick():
        for candidate in candidates():
            steps = [step for step in plan.steps if step.takes_part(candidate)]
            seconds += _START_S * bool(steps) + sum(step.seconds + _EACH_S for step in steps)
    assert seconds * ROUNDS < 290


def test_quick_plan_measures_what_the_targets_need() -> None:
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
    assert kept == VALUES, "the example run has what the targets need, and nothing else"
    assert NOT_MEASURED not in {target.state for target in evaluate(Results(document()))}


def test_full_plan_includes_the_quick_plan() -> None:
    long = {step.measure.name for plan in full() for step in plan.steps}
    assert {step.measure.name for plan in quick() for step in plan.steps} <= long
    assert [plan.network for plan in full()] == list(NETWORKS)


def test_links_fit_the_tunnel_mtu_with_either_ip() -> None:
    # 40 of IPv6, 8 of UDP, 32 of WireGuard.
    assert all(network.link_mtu >= network.mtu + 80 for network in NETWORKS)
    assert MAIN.link_mtu == 1500


def test_patterns_select_measures_and_networks() -> None:
    found = select(full(), ["tcp-1-*"], ["ipv6-*"])
    assert [plan.network.name for plan in found] == ["ipv6-1420", "ipv6-1280", "ipv6-8920"]
    names = {step.measure.name for plan in found for step in plan.steps}
    assert names == {"tcp-1-up", "tcp-1-down"}
    assert select(full(), ["nothing"], []) == []
    assert select(full(), [], []) == full()
