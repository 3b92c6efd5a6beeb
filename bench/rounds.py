"""The rounds of a run: every candidate in turn, each in namespaces of its own, again and again.

In: candidates, plans, a number of rounds. Out: records, as they are made. What fails is recorded with its
words, and the run goes on. Each round begins with another candidate, so that none always follows the
same one; within a round all are measured within a minute of each other, in the short set.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence

from bench.candidates import FLOOR, Candidate
from bench.plan import Plan, Step
from bench.quantities import QUANTITIES
from bench.results import Record
from lab import Network, Pair, Unavailable
from lab.measure import Cipher, Sample, Subject
from pyfw.demo.pair import ping_ms

# What a tunnel that does not carry, a load that breaks or a daemon that ends looks like.
_FAILURES = (RuntimeError, OSError, ValueError, subprocess.TimeoutExpired)
_WORDS_LENGTH = 300
Learn = Callable[[str, str], None]


def measure(
    candidates: Sequence[Candidate],
    plans: Sequence[Plan],
    rounds: int,
    learn_cipher: Learn,
    seconds: float | None = None,
) -> Iterator[Record]:
    """All records. `learn_cipher` is told the cipher of each candidate that is pyfw.

    Each of those ciphers is measured alone, too, where floors take part.
    seconds: of each window, instead of the plans'.
    """
    ciphers: dict[str, None] = {}

    def learn(name: str, cipher: str) -> None:
        ciphers.setdefault(cipher)
        learn_cipher(name, cipher)

    for number in range(1, rounds + 1):
        first = (number - 1) % max(len(candidates), 1)
        for plan in plans:
            for candidate in [*candidates[first:], *candidates[:first]]:
                steps = [step for step in plan.steps if step.takes_part(candidate)]
                if steps:
                    yield from _session(number, plan, candidate, steps, learn, seconds)
            if any(candidate.kind == FLOOR for candidate in candidates):
                for name in ciphers:
                    yield _cipher(number, plan, name)


def _session(
    number: int,
    plan: Plan,
    candidate: Candidate,
    steps: Sequence[Step],
    learn: Learn,
    seconds: float | None,
) -> Iterator[Record]:
    """One candidate, from its start to its end."""

    def record(measure: str, sample: Sample | None, failed: str = "") -> Record:
        sample = sample or Sample({})
        return Record(
            round=number,
            net=plan.net.name,
            candidate=candidate.name,
            measure=measure,
            values=sample.values,
            drops=sample.drops,
            failed=failed,
        )

    made = 0
    try:
        with Network(plan.net.link_mtu, napi=True) as network:
            pair = Pair(
                network,
                candidate.implementation,
                candidate.implementation,
                outer_version=plan.net.version,
                mtu=plan.net.mtu,
            )
            subject = Subject(pair, plan.net.version)
            # The handshake, and all that has to be learnt of neighbours.
            ping_ms(network.client, subject.server_address)
            if candidate.kind != FLOOR and candidate.implementation.is_pyfw:
                learn(candidate.name, pair.client.facts()["cipher"].split()[0])
            for step in steps:
                try:
                    sample = step.measure.run(subject, seconds or step.seconds)
                    yield record(step.measure.name, sample)
                except _FAILURES as error:
                    yield record(step.measure.name, None, _words(error))
                made += 1
            yield record("memory", Sample({"peak_rss_mib": subject.peak_rss_mib()}))
    except Unavailable:
        raise
    except _FAILURES as error:
        for step in steps[made:]:
            yield record(step.measure.name, None, _words(error))


def _cipher(number: int, plan: Plan, name: str) -> Record:
    sample, failed = Sample({}), ""
    try:
        sample = Cipher(name, plan.net.mtu, plan.net.version).run()
    except _FAILURES as error:
        failed = _words(error)
    return Record(
        round=number,
        net=plan.net.name,
        candidate=name,
        measure="cipher",
        values=sample.values,
        failed=failed,
    )


def _words(error: BaseException) -> str:
    words = " ".join(str(error).split()) or type(error).__name__
    # The end says what went wrong, where a command's own words are behind its name.
    return words if len(words) <= _WORDS_LENGTH else f"… {words[-_WORDS_LENGTH:]}"


def show(record: Record, rounds: int) -> None:
    """Says what was just measured, on standard error."""
    where = f"{record.round}/{rounds} {record.net} {record.candidate:<12} {record.measure:<14}"
    told = "  ".join(
        f"{quantity.text(record.values[key])} {quantity.unit}"
        for key, quantity in QUANTITIES.items()
        if key in record.values
    )
    print(f"{where} {record.failed or told}", file=sys.stderr, flush=True)
