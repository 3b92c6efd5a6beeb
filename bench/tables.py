"""A run as text for a terminal: the machine, medians with their spread, ratios, losses, the bars."""

from collections.abc import Iterator, Sequence

from bench.plan import MAIN
from bench.quantities import COUNTS, QUANTITIES, title
from bench.results import Entry, Results, Spread
from bench.targets import MET, MISSED, Bar
from pyfw.replay.report.number_format import plural

# The quantities that ratios are taken of: the rest follows from them, or is too small to divide by.
RATIOS = (
    "gbit_s",
    "received_s",
    "requests_s",
    "cpu_s_gb",
    "cpu_us_packet",
    "p50_us",
    "peak_rss_mib",
)
_NAME = 20


def text(results: Results, judged: Sequence[Bar]) -> str:
    """All of it."""
    lines = list(_head(results))
    for net in results.nets():
        lines += ["", f"══ {net_title(net)}"]
        for measure in results.measures(net):
            lines += ["", *_measure(results, net, measure)]
    lines += ["", "══ pyfw over each other, medians (rounds)", "", *_ratios(results)]
    lines += ["", "══ order and loss, all rounds together", "", *_losses(results)]
    if failed := failures(results):
        lines += ["", "══ what could not be measured", "", *failed]
    lines += ["", *_bars(judged, results.document.rounds)]
    return "\n".join(line.rstrip() for line in lines)


def net_title(net: str) -> str:
    """ipv4-1420 in words."""
    version, _, mtu = net.partition("-")
    return f"{version.replace('ipv', 'IPv')}, MTU {mtu}"


def spread_text(found: Spread | None, quantity: str) -> str:
    """Median (least–most)."""
    if found is None:
        return "–"
    shown = QUANTITIES[quantity]
    return f"{shown.text(found.value)} ({shown.text(found.least)}–{shown.text(found.most)})"


def ratio_text(found: Spread | None) -> str:
    """The same of a ratio."""
    return f"{found.value:.2f} ({found.least:.2f}–{found.most:.2f})" if found else "–"


def others(results: Results) -> list[Entry]:
    """What the default pyfw is compared with: those that were measured."""
    measured = {record.candidate for record in results.document.records if record.values}
    entries = results.document.candidates
    return [entry for entry in entries if entry.name != "pyfw" and entry.name in measured]


def among(results: Results) -> str:
    """What else went on."""
    conditions = results.document.conditions
    return (
        f"load average before: {conditions.load_average:g}; stolen by the hypervisor: "
        f"{conditions.stolen:.1%}"
    )


def losses(results: Results) -> Iterator[tuple[str, str, str, dict[str, int | None], str]]:
    """Network, measure, candidate, its counts, its drops in words; where there is something to say."""
    for net in results.nets():
        for measure in results.measures(net):
            for name in results.candidates(net, measure):
                counts = {key: results.count(net, measure, name, key) for key in COUNTS}
                drops = results.drops(net, measure, name)
                if any(counts.values()) or drops:
                    said = ", ".join(f"{layer} {n:,}" for layer, n in drops.items())
                    yield net, measure, name, counts, said


def failures(results: Results) -> list[str]:
    """What could not be measured, a line each, with the words of the last round in which it failed."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for record in results.failures():
        key = (net_title(record.net), results.title(record.candidate), title(record.measure))
        found.setdefault(key, []).append(record.failed)
    return [
        f"{', '.join(key)}, {plural(len(words), 'round')}: {words[-1]}"
        for key, words in found.items()
    ]


def _head(results: Results) -> Iterator[str]:
    document = results.document
    yield ""
    yield f"{document.machine}; {document.conditions.started}"
    yield f"{plural(document.rounds, 'round')} of the {document.plan} plan; {among(results)}"
    for entry in document.candidates:
        yield f"  {entry.title:<{_NAME}} {entry.version}"
    for name, reason in document.left_out.items():
        yield f"  {name:<{_NAME}} left out: {reason}"


def _measure(results: Results, net: str, measure: str) -> list[str]:
    quantities = results.quantities(net, measure)
    heads = [f"{QUANTITIES[q].title}, {QUANTITIES[q].unit}" for q in quantities]
    rows = [[title(measure), *heads]]
    for name in results.candidates(net, measure):
        found = [spread_text(results.spread(net, measure, name, key), key) for key in quantities]
        rows.append([f"  {results.title(name)}", *found])
    return _aligned(rows)


def _ratios(results: Results) -> list[str]:
    columns = others(results)
    rows = [["", *(entry.title for entry in columns)]]
    for net in results.nets():
        for measure in results.measures(net):
            for quantity in results.quantities(net, measure):
                found = [
                    results.ratio(net, measure, quantity, "pyfw", entry.name) for entry in columns
                ]
                if quantity in RATIOS and any(found):
                    what = QUANTITIES[quantity].title.partition(",")[0]
                    label = f"{_where(net)}{title(measure)}, {what}"
                    rows.append([label, *map(ratio_text, found)])
    return _aligned(rows)


def _losses(results: Results) -> list[str]:
    rows = [["", *COUNTS.values(), "drops"]]
    for net, measure, name, counts, drops in losses(results):
        label = f"{_where(net)}{title(measure)}, {results.title(name)}"
        cells = ["–" if n is None else f"{n:,}" for n in counts.values()]
        rows.append([label, *cells, drops])
    return _aligned(rows, words=1)


def _where(net: str) -> str:
    return "" if net == MAIN.name else f"{net} "


def _aligned(rows: Sequence[Sequence[str]], words: int = 0) -> list[str]:
    """Names to the left, numbers to the right, and so many columns of words at the end."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    numbers = range(1, len(widths) - words)
    return [
        "  ".join(
            f"{cell:>{width}}" if index in numbers else f"{cell:<{width}}"
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _bars(judged: Sequence[Bar], rounds: int) -> Iterator[str]:
    yield f"══ bars, on medians of {plural(rounds, 'round')}"
    yield ""
    for bar in judged:
        mark = {MET: "pass", MISSED: "FAIL"}.get(bar.state, "–   ")
        yield f"{mark}  {bar.promise}: {found_text(bar)}; {bar.relation} {bar.bound:g}"


def found_text(bar: Bar) -> str:
    """What was found, in words."""
    if bar.found is None:
        return bar.state
    if bar.is_count:
        return f"{bar.found.value:,.0f}"
    return f"{bar.found.value:.1f} {bar.unit}" if bar.unit else ratio_text(bar.found)
