"""Formats a run as Markdown: a summary for docs/performance.md, all tables for bench/results."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.plan import MAIN
from bench.quantities import COUNTS, QUANTITIES, title
from bench.results import Results
from bench.tables import (
    RATIOS,
    conditions_text,
    failures,
    found_text,
    losses,
    network_title,
    others,
    ratio_text,
    spread_text,
)
from bench.targets import MISSED, Target

RESULTS = Path(__file__).parent / "results"
"""Where the pages with every table are kept, one a day."""

# The rows of the summary: what a reader compares first.
_SUMMARY = (
    ("tcp-1-up", "gbit_s"),
    ("tcp-1-down", "gbit_s"),
    ("tcp-1-up", "cpu_s_gb"),
    ("tcp-1-up", "p50_us"),
    ("tcp-8-up", "gbit_s"),
    ("tcp-128-up", "gbit_s"),
    ("udp-64-30000", "cpu_us_packet"),
    ("udp-64-flood", "received_s"),
    ("requests", "requests_s"),
    ("rtt-idle", "p50_us"),
    ("memory", "peak_rss_mib"),
)
_BEGIN = "<!-- results: written by python -m bench.tunnel --markdown -->"
_END = "<!-- end of results -->"


def replace_results(path: Path, results: str) -> None:
    """Replaces the text between the two marks of a file. Raises ValueError if they are missing."""
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{path} needs the marks {_BEGIN} and {_END}")
    path.write_text(f"{before}{_BEGIN}\n\n{results}\n\n{_END}{after}", encoding="utf-8")


def summary(results: Results, targets: Sequence[Target]) -> str:
    """Returns one table of medians, and how many targets were met."""
    document = results.document
    entries = [entry for entry in document.candidates if entry.kind != "floor"]
    rows = []
    for measure, quantity in _SUMMARY:
        found = [results.spread(MAIN.name, measure, entry.name, quantity) for entry in entries]
        if any(found):
            shown = QUANTITIES[quantity]
            values = ["–" if one is None else shown.text(one.value) for one in found]
            rows.append([f"{title(measure)}: {shown.title}, {shown.unit}", *values])
    missed = sum(target.state == MISSED for target in targets)
    page = page_name(results)
    return "\n\n".join(
        [
            f"{_conditions(results)} Medians.",
            _table([network_title(MAIN.name), *(entry.title for entry in entries)], rows),
            f"{len(targets)} targets, {missed} missed. [bench/results/{page}]"
            f"(../bench/results/{page}) has every table, with the spread of the rounds.",
        ]
    )


def page_name(results: Results) -> str:
    """Returns the file name of a run's page: the day on which it was measured."""
    return f"{results.document.conditions.started[:10]}.md"


def page(results: Results, targets: Sequence[Target]) -> str:
    """Returns every table of a run."""
    parts = [f"# Results of {results.document.conditions.started[:10]}", *_head(results)]
    parts += ["## Targets", _targets(targets)]
    for net in results.networks():
        parts.append(f"## {network_title(net)}")
        parts += [_measure(results, net, measure) for measure in results.measures(net)]
    parts += ["## pyfw over the others", _ratios(results)]
    if rows := list(_losses(results)):
        heads = ["measure", "candidate", *COUNTS.values(), "drops by layer"]
        parts += ["## Order and loss, all rounds together", _table(heads, rows)]
    if failed := failures(results):
        parts += ["## Failed measures", "\n".join(f"- {line}" for line in failed)]
    return "\n\n".join(parts) + "\n"


def _head(results: Results) -> Iterator[str]:
    document = results.document
    yield (
        f"{_conditions(results)} Medians, with the lowest and highest round. "
        "docs/performance.md describes the method."
    )
    rows = [[entry.title, entry.version] for entry in document.candidates]
    rows += [[name, f"left out: {reason}"] for name, reason in document.left_out.items()]
    yield _table(["candidate", "version"], rows)


def _conditions(results: Results) -> str:
    document = results.document
    return (
        f"{document.conditions.started}, {document.machine}. {document.rounds} interleaved rounds of the "
        f"{document.plan} plan; {conditions_text(results)}."
    )


def _targets(targets: Sequence[Target]) -> str:
    rows = [
        [
            target.what,
            target.cipher,
            target.over,
            f"{target.relation} {target.bound:g}",
            found_text(target),
            target.state,
        ]
        for target in targets
    ]
    return _table(["measure", "pyfw with", "compared with", "target", "measured", "state"], rows)


def _measure(results: Results, net: str, measure: str) -> str:
    quantities = results.quantities(net, measure)
    heads = [
        title(measure),
        *(f"{QUANTITIES[key].title}, {QUANTITIES[key].unit}" for key in quantities),
    ]
    rows = [
        [
            results.title(name),
            *(spread_text(results.spread(net, measure, name, key), key) for key in quantities),
        ]
        for name in results.candidates(net, measure)
    ]
    return _table(heads, rows)


def _ratios(results: Results) -> str:
    columns = others(results)
    rows = []
    for measure in results.measures(MAIN.name):
        for quantity in results.quantities(MAIN.name, measure):
            found = [
                results.ratio(MAIN.name, measure, quantity, "pyfw", entry.name) for entry in columns
            ]
            if any(found) and quantity in RATIOS:
                what = QUANTITIES[quantity].title.partition(",")[0]
                label = f"{title(measure)}, {what}"
                rows.append([label, *map(ratio_text, found)])
    return _table(["", *(entry.title for entry in columns)], rows)


def _losses(results: Results) -> Iterator[list[str]]:
    for net, measure, name, counts, drops in losses(results):
        where = "" if net == MAIN.name else f"{network_title(net)}: "
        numbers = ["–" if n is None else f"{n:,}" for n in counts.values()]
        yield [where + title(measure), results.title(name), *numbers, drops]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
