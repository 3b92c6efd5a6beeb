"""A run as Markdown, and the place in docs/performance.md where the last one stands."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.plan import MAIN
from bench.quantities import COUNTS, QUANTITIES, title
from bench.results import Results
from bench.tables import (
    RATIOS,
    among,
    failures,
    found_text,
    losses,
    net_title,
    others,
    ratio_text,
    spread_text,
)
from bench.targets import Bar

_BEGIN = "<!-- results: written by python -m bench.tunnel --markdown -->"
_END = "<!-- end of results -->"


def replace_results(path: Path, results: str) -> None:
    """Puts results between the two marks of a file. Raises ValueError where they are missing."""
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{path} has no place for results: {_BEGIN} … {_END}")
    path.write_text(f"{before}{_BEGIN}\n\n{results}\n\n{_END}{after}", encoding="utf-8")


def results_of(results: Results, judged: Sequence[Bar]) -> str:
    """The whole section."""
    parts = [*_head(results), "### Bars", _bars(judged)]
    for net in results.nets():
        parts.append(f"### {net_title(net)}")
        parts += [_measure(results, net, measure) for measure in results.measures(net)]
    parts += ["### pyfw over each other", _ratios(results)]
    if rows := list(_losses(results)):
        heads = ["measure", "candidate", *COUNTS.values(), "drops by layer"]
        parts += ["### Order and loss, all rounds together", _table(heads, rows)]
    if failed := failures(results):
        parts += ["### What could not be measured", "\n".join(f"- {line}" for line in failed)]
    return "\n\n".join(parts)


def _head(results: Results) -> Iterator[str]:
    document = results.document
    yield (
        f"{document.conditions.started}, {document.machine}. {document.rounds} interleaved rounds of the "
        f"{document.plan} plan; {among(results)}. Medians, with the least and the most of the rounds."
    )
    rows = [[entry.title, entry.version] for entry in document.candidates]
    rows += [[name, f"left out: {reason}"] for name, reason in document.left_out.items()]
    yield _table(["candidate", "version"], rows)


def _bars(judged: Sequence[Bar]) -> str:
    rows = [
        [
            bar.what,
            bar.cipher,
            bar.over,
            f"{bar.relation} {bar.bound:g}",
            found_text(bar),
            bar.state,
        ]
        for bar in judged
    ]
    return _table(["promise", "pyfw with", "over", "bar", "found", ""], rows)


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
        where = "" if net == MAIN.name else f"{net_title(net)}: "
        numbers = ["–" if n is None else f"{n:,}" for n in counts.values()]
        yield [where + title(measure), results.title(name), *numbers, drops]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
