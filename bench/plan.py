"""What is measured: networks, and for each the measures, how long, and who takes part.

The short set has what the bars of bench.targets need, and the rest of the table where it costs little; the
long one has all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

from bench.candidates import FLOOR, OURS, PEER, Candidate
from lab.measure import Datagrams, Flows, Measure, Pings, Requests


@dataclass(frozen=True)
class Net:
    """A version of IP, in the tunnel and outside of it, and the tunnel's MTU."""

    version: int
    mtu: int

    @property
    def name(self) -> str:
        """ipv4-1420."""
        return f"ipv{self.version}-{self.mtu}"

    @property
    def link_mtu(self) -> int:
        """Of the links around it: 80 bytes more than the tunnel's carry it with either IP (wg-quick(8))."""
        return max(1500, self.mtu + 80)


@dataclass(frozen=True)
class Step:
    """A measure, and for whom."""

    measure: Measure
    seconds: float
    takes_part: Callable[[Candidate], bool]


@dataclass(frozen=True)
class Plan:
    """All steps of one network, in order."""

    net: Net
    steps: tuple[Step, ...]


MAIN = Net(4, 1420)
NETS = (MAIN, Net(6, 1420), Net(4, 1280), Net(6, 1280), Net(4, 8920), Net(6, 8920))
RATE = 30_000
_LENGTHS = (64, 512, 1200)


def _tunnels(candidate: Candidate) -> bool:
    return candidate.kind != FLOOR


def _everyone(candidate: Candidate) -> bool:
    return True


def _default_and_peers(candidate: Candidate) -> bool:
    return candidate.name == "pyfw" or candidate.kind == PEER


def _flow_bars(candidate: Candidate) -> bool:
    return candidate.kind == OURS or candidate.name in ("tailscale", "cipher-off")


def _eight_bars(candidate: Candidate) -> bool:
    return candidate.kind == OURS or candidate.name == "tailscale"


def quick() -> list[Plan]:
    """What the bars need: some 45 s a round."""
    return [
        Plan(
            MAIN,
            (
                Step(Pings(), 0.5, _default_and_peers),
                Step(Flows(1, 0, pinged=True), 1.0, _flow_bars),
                Step(Flows(0, 1), 1.0, _flow_bars),
                Step(Flows(8, 0), 1.0, _eight_bars),
                Step(Flows(0, 8), 1.0, _eight_bars),
                Step(Datagrams(64, RATE), 1.5, _default_and_peers),
                Step(Datagrams(64), 1.0, _default_and_peers),
            ),
        )
    ]


def full() -> list[Plan]:
    """All of it: some eight minutes a round."""
    flows = (
        Step(Flows(1, 0, pinged=True), 2.0, _everyone),
        Step(Flows(0, 1, pinged=True), 2.0, _everyone),
        Step(Flows(1, 1, pinged=True), 2.0, _tunnels),
        *(Step(Flows(*ways), 2.0, _tunnels) for ways in ((8, 0), (0, 8), (128, 0), (0, 128))),
    )
    fixed = tuple(Step(Datagrams(length, RATE), 2.0, _tunnels) for length in _LENGTHS)
    flood = tuple(Step(Datagrams(length), 1.5, _tunnels) for length in _LENGTHS)
    idle = Step(Pings(), 1.0, _everyone)
    rest = (
        idle,
        Step(Flows(1, 0, pinged=True), 1.5, _tunnels),
        Step(Flows(0, 1), 1.5, _tunnels),
    )
    main = Plan(MAIN, (idle, *flows, *fixed, *flood, Step(Requests(), 2.0, _tunnels)))
    return [main, *(Plan(net, rest) for net in NETS if net != MAIN)]


def narrowed(plans: Sequence[Plan], only: Sequence[str], nets: Sequence[str]) -> list[Plan]:
    """The steps whose measure, and the networks whose name, fits one of the patterns; no patterns: all."""
    found = []
    for plan in plans:
        if nets and not any(fnmatch(plan.net.name, pattern) for pattern in nets):
            continue
        steps = tuple(
            step
            for step in plan.steps
            if not only or any(fnmatch(step.measure.name, pattern) for pattern in only)
        )
        if steps:
            found.append(Plan(plan.net, steps))
    return found
