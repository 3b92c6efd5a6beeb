"""The plans of a benchmark: for each network configuration the measures, their duration, and the candidates.

The quick plan has what the targets of bench.targets need, and more where it costs little time; the full plan
has everything.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

from bench.candidates import BASELINE, OURS, PEER, Candidate
from lab.measure import Datagrams, Flows, Measure, Pings, Requests


@dataclass(frozen=True)
class NetworkConfig:
    """The version of IP, inside and outside the tunnel, and the tunnel's MTU."""

    version: int
    mtu: int

    @property
    def name(self) -> str:
        """Such as ipv4-1420."""
        return f"ipv{self.version}-{self.mtu}"

    @property
    def link_mtu(self) -> int:
        """The MTU of the links: the tunnel's and 80 bytes, enough with either IP (wg-quick(8))."""
        return max(1500, self.mtu + 80)


@dataclass(frozen=True)
class Step:
    """A measure, its duration, and which candidates take it."""

    measure: Measure
    seconds: float
    takes_part: Callable[[Candidate], bool]


@dataclass(frozen=True)
class Plan:
    """All steps in one network, in order."""

    network: NetworkConfig
    steps: tuple[Step, ...]


MAIN = NetworkConfig(4, 1420)
NETWORKS = (
    MAIN,
    NetworkConfig(6, 1420),
    NetworkConfig(4, 1280),
    NetworkConfig(6, 1280),
    NetworkConfig(4, 8920),
    NetworkConfig(6, 8920),
)
RATE = 30_000
_LENGTHS = (64, 512, 1200)


def _not_baselines(candidate: Candidate) -> bool:
    return candidate.kind != BASELINE


def _all(candidate: Candidate) -> bool:
    return True


def _default_and_peers(candidate: Candidate) -> bool:
    return candidate.name == "pyfw" or candidate.kind == PEER


def _for_flow_targets(candidate: Candidate) -> bool:
    return candidate.kind == OURS or candidate.name in ("tailscale", "cipher-off")


def _for_eight_flow_targets(candidate: Candidate) -> bool:
    return candidate.kind == OURS or candidate.name == "tailscale"


def quick() -> list[Plan]:
    """Returns what the targets need: about 45 s per round."""
    return [
        Plan(
            MAIN,
            (
                Step(Pings(), 0.5, _default_and_peers),
                Step(Flows(1, 0, pinged=True), 1.0, _for_flow_targets),
                Step(Flows(0, 1), 1.0, _for_flow_targets),
                Step(Flows(8, 0), 1.0, _for_eight_flow_targets),
                Step(Flows(0, 8), 1.0, _for_eight_flow_targets),
                Step(Datagrams(64, RATE), 1.5, _default_and_peers),
                Step(Datagrams(64), 1.0, _default_and_peers),
            ),
        )
    ]


def full() -> list[Plan]:
    """Returns everything: about eight minutes per round."""
    flows = (
        Step(Flows(1, 0, pinged=True), 2.0, _all),
        Step(Flows(0, 1, pinged=True), 2.0, _all),
        Step(Flows(1, 1, pinged=True), 2.0, _not_baselines),
        *(
            Step(Flows(*counts), 2.0, _not_baselines)
            for counts in ((8, 0), (0, 8), (128, 0), (0, 128))
        ),
    )
    fixed = tuple(Step(Datagrams(length, RATE), 2.0, _not_baselines) for length in _LENGTHS)
    flood = tuple(Step(Datagrams(length), 1.5, _not_baselines) for length in _LENGTHS)
    idle = Step(Pings(), 1.0, _all)
    rest = (
        idle,
        Step(Flows(1, 0, pinged=True), 1.5, _not_baselines),
        Step(Flows(0, 1), 1.5, _not_baselines),
    )
    main = Plan(MAIN, (idle, *flows, *fixed, *flood, Step(Requests(), 2.0, _not_baselines)))
    return [main, *(Plan(network, rest) for network in NETWORKS if network != MAIN)]


def select(plans: Sequence[Plan], measures: Sequence[str], networks: Sequence[str]) -> list[Plan]:
    """Returns the steps whose measure and network match one of the patterns; without patterns all match."""
    found = []
    for plan in plans:
        if networks and not any(fnmatch(plan.network.name, pattern) for pattern in networks):
            continue
        steps = tuple(
            step
            for step in plan.steps
            if not measures or any(fnmatch(step.measure.name, pattern) for pattern in measures)
        )
        if steps:
            found.append(Plan(plan.network, steps))
    return found
