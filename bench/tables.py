"""Formats a run as text: the machine, medians with their spread, ratios, losses, targets."""

from collections.abc import Iterator, Sequence

from bench.plan import MAIN
from bench.quantities import COUNTS, QUANTITIES, title
from bench.results import Entry, Results, Spread
from bench.targets import MET, MISSED, Target
from pyfw.replay.report.number_format import plural

# Only these have ratios: the others follow from them, or are too small to divide by.
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


def text(results: Results, targets: Sequence[Target]) -> str:
    """Returns everything."""
    lines = list(_head(results))
    for net in results.networks():
        lines += ["", f"══ {network_title(net)}"]
        for measure in results.measures(net):
            lines += ["", *_measure(results, net, measure)]
    lines += ["", "══ pyfw over the others, medians (rounds)", "", *_ratios(results)]
    lines += ["", "══ order and loss, all rounds together", "", *_losses(results)]
    if failed := failures(results):
        lines += ["", "══ failed measures", "", *failed]
    lines += ["", *_targets(targets, results.document.rounds)]
    return "\n".join(line.rstrip() for line in lines)


def network_title(net: str) -> str:
    """Returns "IPv4, MTU 1420" for "ipv4-1420"."""
    version, _, mtu = net.partition("-")
    return f"{version.replace('ipv', 'IPv')}, MTU {mtu}"


def spread_text(found: Spread | None, quantity: str) -> str:
    """Returns the median (lowest–highest)."""
    if found is None:
        return "–"
    shown = QUANTITIES[quantity]
    return f"{shown.text(found.value)} ({shown.text(found.low)}–{shown.text(found.high)})"


def ratio_text(found: Spread | None) -> str:
    """Returns the same of a ratio."""
    return f"{found.value:.2f} ({found.low:.2f}–{found.high:.2f})" if found else "–"


def others(results: Results) -> list[Entry]:
    """Returns the measured candidates other than pyfw."""
    measured = {record.candidate for record in results.document.records if record.values}
    entries = results.document.candidates
    return [entry for entry in entries if entry.name != "pyfw" and entry.name in measured]


def conditions_text(results: Results) -> str:
    """Returns what else used the machine."""
    conditions = results.document.conditions
    return (
        f"load average before the run {conditions.load_average:g}, CPU time stolen by the hypervisor "
        f"{conditions.stolen:.1%}"
    )


def losses(results: Results) -> Iterator[tuple[str, str, str, dict[str, int | None], str]]:
    """Yields network, measure, candidate, counts and drops of each that counted anything."""
    for net in results.networks():
        for measure in results.measures(net):
            for name in results.candidates(net, measure):
                counts = {key: results.count(net, measure, name, key) for key in COUNTS}
                drops = results.drops(net, measure, name)
                if any(counts.values()) or drops:
                    drops_text = ", ".join(f"{layer} {n:,}" for layer, n in drops.items())
                    yield net, measure, name, counts, drops_text


def failures(results: Results) -> list[str]:
    """Returns a line for each failed measure, with the message of the last round."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for record in results.failures():
        key = (network_title(record.net), results.title(record.candidate), title(record.measure))
        found.setdefault(key, []).append(record.failed)
    return [
        f"{', '.join(key)}, {plural(len(messages), 'round')}: {messages[-1]}"
        for key, messages in found.items()
    ]


def _head(results: Results) -> Iterator[str]:
    document = results.document
    yield ""
    yield f"{document.machine}; {document.conditions.started}"
    yield f"{plural(document.rounds, 'round')} of the {document.plan} plan; {conditions_text(results)}"
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
    for net in results.networks():
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
    return _aligned(rows, text_columns=1)


def _where(net: str) -> str:
    return "" if net == MAIN.name else f"{net} "


def _aligned(rows: Sequence[Sequence[str]], text_columns: int = 0) -> list[str]:
    """Aligns numbers to the right; the first column and `text_columns` at the end to the left."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    numbers = range(1, len(widths) - text_columns)
    return [
        "  ".join(
            f"{cell:>{width}}" if index in numbers else f"{cell:<{width}}"
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _targets(targets: Sequence[Target], rounds: int) -> Iterator[str]:
    yield f"══ targets, on medians of {plural(rounds, 'round')}"
    yield ""
    for target in targets:
        mark = {MET: "pass", MISSED: "FAIL"}.get(target.state, "–   ")
        found, bound = found_text(target), f"{target.relation} {target.bound:g}"
        yield f"{mark}  {target.label}: {found}; target {bound}"


def found_text(target: Target) -> str:
    """Returns the value of a target, or that it was not measured."""
    if target.found is None:
        return target.state
    if target.is_count:
        return f"{target.found.value:,.0f}"
    if target.unit:
        return f"{target.found.value:.1f} {target.unit}"
    return ratio_text(target.found)
