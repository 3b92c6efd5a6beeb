"""The headline of a report, and the totals below it."""

from collections.abc import Sequence

from pyfw.replay.report.number_format import bytes_text, count, duration, plural
from pyfw.replay.report.run import Comparison, Run


def headline(comparisons: Sequence[Comparison]) -> str:
    """Returns a sentence on the cases that have expectations, and one on the order under each rule."""
    runs = [run for comparison in comparisons for run in comparison.runs]
    if not runs:
        return "Nothing was replayed."
    parts = [part for part in (_cases(comparisons), _order(runs), _errors(comparisons)) if part]
    return " ".join(f"{part}." for part in parts)


def totals(comparisons: Sequence[Comparison]) -> str:
    """Returns the amount of traffic, counted once per case as every rule replays the same."""
    firsts = [comparison.runs[0] for comparison in comparisons]
    packets = sum(run.result["packets"] for run in firsts)
    size = sum(run.result["bytes"] for run in firsts)
    flows = sum(len(run.result["flows"]) for run in firsts)
    time_ns = sum(run.result["duration_ns"] for run in firsts)
    rules = list(dict.fromkeys(run.rule for comparison in comparisons for run in comparison.runs))
    return " · ".join(
        (
            plural(len(comparisons), "case"),
            plural(packets, "packet"),
            bytes_text(size),
            plural(flows, "flow"),
            f"{duration(time_ns)} of virtual time",
            f"{'rule' if len(rules) == 1 else 'rules'} {', '.join(rules)}",
        )
    )


def order_summary(run: Run) -> str:
    """Returns the order of a run's flows in a few words."""
    if not run.total("segments"):
        return "no flows"
    if not run.total("delivered"):
        return "nothing delivered"
    early, late, duplicates = run.total("early"), run.total("late"), run.total("duplicates")
    order = f"{count(early)} early, {count(late)} late" if early or late else "in order"
    return f"{order}, {plural(duplicates, 'duplicate')}" if duplicates else order


def case_status(expected_ok: bool | None) -> str:
    """Returns the status of a case in the table."""
    return {True: "passed", False: "failed", None: "not compared"}[expected_ok]


def _cases(comparisons: Sequence[Comparison]) -> str:
    compared = [comparison for comparison in comparisons if comparison.passed is not None]
    failed = [comparison for comparison in compared if comparison.passed is False]
    if not compared:
        return ""
    if len(compared) == 1:
        return f"{compared[0].case} {'fails' if failed else 'passes'}"
    if not failed:
        return f"All {count(len(compared))} cases pass"
    verb = "fails" if len(failed) == 1 else "fail"
    return f"{len(failed)} of {count(len(compared))} cases {verb}"


def _order(runs: Sequence[Run]) -> str:
    rules: dict[str, list[Run]] = {}
    for run in runs:
        rules.setdefault(run.rule, []).append(run)
    clauses = []
    for rule, of_rule in rules.items():
        under = f"under {rule} " if len(rules) > 1 else ""
        delivered = sum(run.total("delivered") for run in of_rule)
        early, late = (sum(run.total(name) for run in of_rule) for name in ("early", "late"))
        if not delivered:
            clauses.append(f"{under}nothing is delivered")
        elif early or late:
            clauses.append(
                f"{under}{count(early)} of {plural(delivered, 'segment')} arrive early "
                f"and {count(late)} late"
            )
        else:
            clauses.append(f"{under}every flow arrives in order")
    text = "; ".join(clauses)
    return text[0].upper() + text[1:]


def _errors(comparisons: Sequence[Comparison]) -> str:
    corrupt = [c.case for c in comparisons if any(run.result["error"] for run in c.runs)]
    if not corrupt:
        return ""
    if len(corrupt) == 1:
        return f"The capture of {corrupt[0]} is corrupt"
    return f"{count(len(corrupt))} captures are corrupt"
