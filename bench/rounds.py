"""Runs the rounds of a benchmark: in each, every candidate in turn, in namespaces of its own.

A failure is recorded with its message, and the run goes on. Each round starts with another candidate, so that
none always follows the same one. In the quick plan all candidates of a round are measured within a minute.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence

from bench.candidates import BASELINE, Candidate
from bench.plan import Plan, Step
from bench.quantities import QUANTITIES
from bench.results import Record
from lab import Network, Pair, Unavailable
from lab.measure import Cipher, MeasuredTunnel, Sample
from pyfw.demo.pair import ping_ms

# Raised when a tunnel carries nothing, a load breaks, or a daemon exits.
_FAILURES = (RuntimeError, OSError, ValueError, subprocess.TimeoutExpired)
_MESSAGE_LENGTH = 300
OnCipher = Callable[[str, str], None]


def measure(
    candidates: Sequence[Candidate],
    plans: Sequence[Plan],
    rounds: int,
    on_cipher: OnCipher,
    seconds: float | None = None,
) -> Iterator[Record]:
    """Yields all records as they are measured.

    `on_cipher` is called with the name and the cipher of each candidate that is pyfw. If baselines take part,
    each of these ciphers is measured alone as well. `seconds` overrides the plans' durations.
    """
    ciphers: dict[str, None] = {}

    def found_cipher(name: str, cipher: str) -> None:
        ciphers.setdefault(cipher)
        on_cipher(name, cipher)

    for number in range(1, rounds + 1):
        first = (number - 1) % max(len(candidates), 1)
        for plan in plans:
            for candidate in [*candidates[first:], *candidates[:first]]:
                steps = [step for step in plan.steps if step.takes_part(candidate)]
                if steps:
                    yield from _session(number, plan, candidate, steps, found_cipher, seconds)
            if any(candidate.kind == BASELINE for candidate in candidates):
                for name in ciphers:
                    yield _cipher(number, plan, name)


def _session(
    number: int,
    plan: Plan,
    candidate: Candidate,
    steps: Sequence[Step],
    on_cipher: OnCipher,
    seconds: float | None,
) -> Iterator[Record]:
    """Measures one candidate, from its start to its end."""

    def record(measure: str, sample: Sample | None, failed: str = "") -> Record:
        sample = sample or Sample({})
        return Record(
            round=number,
            net=plan.network.name,
            candidate=candidate.name,
            measure=measure,
            values=sample.values,
            drops=sample.drops,
            failed=failed,
        )

    done = 0
    try:
        with Network(plan.network.link_mtu, napi=True) as network:
            pair = Pair(
                network,
                candidate.implementation,
                candidate.implementation,
                outer_version=plan.network.version,
                mtu=plan.network.mtu,
            )
            tunnel = MeasuredTunnel(pair, plan.network.version)
            # For the handshake and neighbour discovery.
            ping_ms(network.client, tunnel.server_address)
            if candidate.kind != BASELINE and candidate.implementation.is_pyfw:
                facts = pair.client.details()["facts"]
                on_cipher(candidate.name, facts["cipher"].split()[0])
            for step in steps:
                try:
                    sample = step.measure.run(tunnel, seconds or step.seconds)
                    yield record(step.measure.name, sample)
                except _FAILURES as error:
                    yield record(step.measure.name, None, _message(error))
                done += 1
            yield record("memory", Sample({"peak_rss_mib": tunnel.peak_rss_mib()}))
    except Unavailable:
        raise
    except _FAILURES as error:
        for step in steps[done:]:
            yield record(step.measure.name, None, _message(error))


def _cipher(number: int, plan: Plan, name: str) -> Record:
    sample, failed = Sample({}), ""
    try:
        sample = Cipher(name, plan.network.mtu, plan.network.version).run()
    except _FAILURES as error:
        failed = _message(error)
    return Record(
        round=number,
        net=plan.network.name,
        candidate=name,
        measure="cipher",
        values=sample.values,
        failed=failed,
    )


def _message(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    # The end has the reason: a command's own output follows its name.
    return text if len(text) <= _MESSAGE_LENGTH else f"… {text[-_MESSAGE_LENGTH:]}"


def show(record: Record, rounds: int) -> None:
    """Prints a record to standard error."""
    where = f"{record.round}/{rounds} {record.net} {record.candidate:<12} {record.measure:<14}"
    values = "  ".join(
        f"{quantity.text(record.values[key])} {quantity.unit}"
        for key, quantity in QUANTITIES.items()
        if key in record.values
    )
    print(f"{where} {record.failed or values}", file=sys.stderr, flush=True)
