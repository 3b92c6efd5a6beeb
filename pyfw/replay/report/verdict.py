"""What a reader wants to know first. In: comparisons. Out: one sentence, and the facts below it."""

from collections.abc import Sequence

from pyfw.replay.report.quantity import count, duration, octets, of
from pyfw.replay.report.run import Comparison, Run


def sentence(comparisons: Sequence[Comparison]) -> str:
    """Cases first, where something was expected; then the order, rule by rule."""
    runs = [run for comparison in comparisons for run in comparison.runs]
    if not runs:
        return "Nothing was replayed."
    parts = [part for part in (_cases(comparisons), _order(runs), _errors(comparisons)) if part]
    return " ".join(f"{part}." for part in parts)


def facts(comparisons: Sequence[Comparison]) -> str:
    """How much went through, per rule, since each rule is given the same."""
    heads = [comparison.runs[0] for comparison in comparisons]
    packets = sum(run.result["packets"] for run in heads)
    size = sum(run.result["bytes"] for run in heads)
    flows = sum(len(run.result["flows"]) for run in heads)
    time_ns = sum(run.result["duration_ns"] for run in heads)
    rules = list(dict.fromkeys(run.rule for comparison in comparisons for run in comparison.runs))
    return " · ".join(
        (
            of(len(comparisons), "case"),
            of(packets, "packet"),
            octets(size),
            of(flows, "flow"),
            f"{duration(time_ns)} of virtual time",
            f"{'rule' if len(rules) == 1 else 'rules'} {', '.join(rules)}",
        )
    )


def outcome(run: Run) -> str:
    """What a run says of the order, in a few words."""
    if not run.total("segments"):
        return "no flow to judge"
    if not run.total("delivered"):
        return "nothing was delivered"
    early, late, duplicates = run.total("early"), run.total("late"), run.total("duplicates")
    words = f"{count(early)} early, {count(late)} late" if early or late else "in order"
    return f"{words}, {of(duplicates, 'duplicate')}" if duplicates else words


def expectation(expected_ok: bool | None) -> str:
    """One word for a case."""
    return {True: "passed", False: "failed", None: "not judged"}[expected_ok]


def _cases(comparisons: Sequence[Comparison]) -> str:
    judged = [comparison for comparison in comparisons if comparison.passed is not None]
    failed = [comparison for comparison in judged if comparison.passed is False]
    if not judged:
        return ""
    if len(judged) == 1:
        return f"{judged[0].case} {'fails' if failed else 'passes'}"
    if not failed:
        return f"All {count(len(judged))} cases pass"
    verb = "fails" if len(failed) == 1 else "fail"
    return f"{len(failed)} of {count(len(judged))} cases {verb}"


def _order(runs: Sequence[Run]) -> str:
    rules: dict[str, list[Run]] = {}
    for run in runs:
        rules.setdefault(run.rule, []).append(run)
    clauses = []
    for rule, those in rules.items():
        under = f"under {rule} " if len(rules) > 1 else ""
        delivered = sum(run.total("delivered") for run in those)
        early, late = (sum(run.total(name) for run in those) for name in ("early", "late"))
        if not delivered:
            clauses.append(f"{under}nothing is delivered")
        elif early or late:
            clauses.append(
                f"{under}{count(early)} of {of(delivered, 'segment')} arrive early "
                f"and {count(late)} late"
            )
        else:
            clauses.append(f"{under}every flow arrives in order")
    text = "; ".join(clauses)
    return text[0].upper() + text[1:]


def _errors(comparisons: Sequence[Comparison]) -> str:
    wrong = [c.case for c in comparisons if any(run.result["error"] for run in c.runs)]
    if not wrong:
        return ""
    if len(wrong) == 1:
        return f"The capture of {wrong[0]} is corrupt"
    return f"{count(len(wrong))} captures are corrupt"
