"""Builds the HTML page: a headline, the targets, charts and numbers for each network, losses, conditions."""

from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

from bench.plan import MAIN
from bench.quantities import COUNTS, QUANTITIES, title
from bench.report.chart import better, chart
from bench.results import Results
from bench.tables import conditions_text, failures, found_text, losses, network_title, spread_text
from bench.targets import MET, MISSED, Target
from pyfw.replay.report.markup import Html, element, joined, row, table
from pyfw.replay.report.number_format import plural

# The browser may fetch nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
_REFERENCE = "tailscale"


def page(results: Results, targets: Sequence[Target]) -> str:
    """Returns the whole file."""
    title_text = headline(results)
    body = element(
        "body",
        element(
            "header",
            element(
                "div",
                element("span", "pyfw benchmark"),
                element("button", "Theme: system", id="theme", type="button", hidden=True),
                class_="top",
            ),
            element("h1", title_text),
            element("p", _summary(results, targets), class_="quiet"),
        ),
        element(
            "main",
            element("h3", "Targets"),
            _targets(targets),
            *(_network(results, net) for net in results.networks()),
            *_losses(results),
            element("h3", "Machine and candidates"),
            _about(results),
        ),
        element(
            "footer",
            "Bars are medians. The line on each runs from the lowest round to the highest, or to the edge, "
            "and each dot is a round. Rounds are interleaved: in each, all candidates are measured in turn. "
            "Compare ratios: absolute figures depend on the machine and the day. docs/performance.md "
            "describes the method.",
        ),
        element("script", Html(_own("page.js"))),
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"pyfw benchmark: {title_text}"),
        element("style", Html(_shared("page.css") + _own("chart.css") + _own("page.css"))),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def headline(results: Results) -> str:
    """Returns one TCP flow of pyfw compared with the reference, if both were measured."""
    parts = []
    for quantity, template in (
        ("gbit_s", "{:.2f} times as fast as {}"),
        ("cpu_s_gb", "with {:.2f} times its CPU per gigabyte"),
    ):
        if found := results.ratio(MAIN.name, "tcp-1-up", quantity, "pyfw", _REFERENCE):
            parts.append(template.format(found.value, results.title(_REFERENCE)))
    if not parts:
        return "Results"
    return f"One TCP flow through pyfw: {', '.join(parts)}"


def _summary(results: Results, targets: Sequence[Target]) -> str:
    states = [target.state for target in targets]
    met, missed = states.count(MET), states.count(MISSED)
    rest = len(states) - met - missed
    parts = [f"{met} of {len(states)} targets met", f"{missed} missed" if missed else ""]
    parts += [f"{rest} not measured" if rest else "", plural(results.document.rounds, "round")]
    return ", ".join(part for part in parts if part) + "."


def _targets(targets: Sequence[Target]) -> Html:
    rows = [
        row(
            target.what,
            target.cipher,
            target.over,
            f"{target.relation} {target.bound:g}",
            _found(target),
            element("span", target.state, class_=target.state.replace(" ", "-")),
        )
        for target in targets
    ]
    heads = ("measure", "pyfw with", "over", "target", "found", "state")
    return table(None, heads, rows, "targets")


def _found(target: Target) -> Html:
    value, _, rounds = (found_text(target) if target.found else "").partition(" (")
    return element("span", value, element("small", f" ({rounds}") if rounds else None)


def _network(results: Results, net: str) -> Html:
    parts: list[Html] = []
    for measure in results.measures(net):
        panels = [
            _panel(results, net, measure, quantity) for quantity in results.quantities(net, measure)
        ]
        parts += [
            element("h3", title(measure)),
            element("div", *panels, class_="panels"),
            element(
                "details",
                element("summary", "Numbers"),
                _numbers(results, net, measure),
                class_="collapsed",
            ),
        ]
    return element("section", element("h2", network_title(net)), *parts, class_="network")


def _panel(results: Results, net: str, measure: str, quantity: str) -> Html:
    shown = QUANTITIES[quantity]
    return element(
        "figure",
        element(
            "figcaption",
            element("span", f"{shown.title}, {shown.unit}"),
            element("small", better(shown)),
        ),
        chart(results, net, measure, quantity),
    )


def _numbers(results: Results, net: str, measure: str) -> Html:
    quantities = results.quantities(net, measure)
    heads = ["", *(f"{QUANTITIES[key].title}, {QUANTITIES[key].unit}" for key in quantities)]
    rows = [
        row(
            results.title(name),
            *(spread_text(results.spread(net, measure, name, key), key) for key in quantities),
        )
        for name in results.candidates(net, measure)
    ]
    return table(None, heads, rows, "numbers")


def _losses(results: Results) -> Iterator[Html]:
    rows = []
    for net, measure, name, counts, drops in losses(results):
        where = "" if net == MAIN.name else f"{network_title(net)}: "
        cells = ["–" if n is None else f"{n:,}" for n in counts.values()]
        rows.append(row(where + title(measure), results.title(name), *cells, drops))
    if rows:
        yield element("h3", "Order and loss, all rounds together")
        heads = ("measure", "candidate", *COUNTS.values(), "drops by layer")
        yield table(None, heads, rows, "losses")
    if failed := failures(results):
        yield element("h3", "Failed measures")
        yield element("ul", *(element("li", line) for line in failed))


def _about(results: Results) -> Html:
    document = results.document
    facts = {
        "machine": str(document.machine),
        "started": document.conditions.started,
        "conditions": conditions_text(results),
    }
    facts |= {
        entry.title: entry.version + (f", cipher {entry.cipher}" if entry.cipher else "")
        for entry in document.candidates
    }
    pairs = [joined([element("dt", key), element("dd", value)]) for key, value in facts.items()]
    pairs += [
        joined([element("dt", name), element("dd", element("i", "left out: "), reason)])
        for name, reason in document.left_out.items()
    ]
    return element("dl", *pairs, class_="about")


def _own(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _shared(name: str) -> str:
    return resources.files("pyfw.replay.report").joinpath(name).read_text(encoding="utf-8")
