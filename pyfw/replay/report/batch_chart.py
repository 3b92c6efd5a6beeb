"""The batch charts: for each sending end and rule, the batches in sending order, drawn to scale.

Each bracket is a batch; each bar in it is a segment. Only the first batches are
drawn; a note says so.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, groupby
from string import ascii_uppercase
from typing import Any, NamedTuple

from pyfw.replay.report.markup import Html, element, joined
from pyfw.replay.report.number_format import count, duration, ecn_name, plural
from pyfw.replay.report.run import Comparison, Run, is_data

BATCHES_DRAWN = 120
BATCHES_AS_TEXT = 60
# In larger batches, adjacent segments of one flow and length share a bar.
SEGMENTS_DRAWN = 16
FLOW_COLOURS = 6
# Width of a line on a wide and on a narrow page.
_WIDE_LINE_PX, _NARROW_LINE_PX = 1_000, 320
# Scale in thousandths of a pixel per byte.
_MAX_SCALE, _MIN_SCALE = 110, 28
# A chart of more lines becomes one line that scrolls.
_LINES = 3

Batch = Mapping[str, Any]


class _Tags(NamedTuple):
    """Labels above the batches: a letter per connection and the ECN field, if batches differ in them."""

    letters: Mapping[tuple[str, str], str]
    with_ecn: bool


def batch_charts(comparison: Comparison) -> Html:
    """Returns all charts of a case, with a legend of flows."""
    # Ends that sent data come first.
    ends = {
        batch["end"]: None
        for data in (True, False)
        for run in comparison.runs
        for batch in run.result["batches"]
        if is_data(batch) is data
    }
    if not ends:
        return element("p", "This run kept no batches.", class_="note")
    return joined([*(_of_end(comparison, end) for end in ends), _legend(comparison)])


def as_text(batches: Sequence[Batch]) -> str:
    """Returns the lengths in the data batches: [1228 834] [1031]."""
    return " ".join(
        f"[{' '.join(map(str, batch['payload']))}]" for batch in batches if is_data(batch)
    )


def _of_end(comparison: Comparison, end: str) -> Html:
    runs = [
        (run, [batch for batch in run.result["batches"] if batch["end"] == end])
        for run in comparison.runs
    ]
    data = [batch for _, batches in runs for batch in batches if is_data(batch)]
    if not data:
        n = max(len(batches) for _, batches in runs)
        text = f"{end} sent {plural(n, 'control message')} and no data."
        return element("p", text, class_="note")
    largest = max(max(sum(batch["payload"]) for batch in data[:BATCHES_DRAWN]), 1)
    total = max(sum(sum(b["payload"]) for b in batches[:BATCHES_DRAWN]) for _, batches in runs) or 1
    wide = max(_MIN_SCALE, 1000 * _WIDE_LINE_PX // total)
    wide = min(wide, _MAX_SCALE, 1000 * _WIDE_LINE_PX // largest)
    narrow = min(max(wide * 5 // 8, _MIN_SCALE), 1000 * _NARROW_LINE_PX // largest)
    tags = _tags(data)
    return element(
        "div",
        element("h4", f"Sent by {end}, payload lengths in bytes"),
        *(_chart(comparison, run, batches, tags) for run, batches in runs),
        _connections(tags),
        class_="batch-charts long"
        if total * wide > _LINES * 1000 * _WIDE_LINE_PX
        else "batch-charts",
        style=f"--wide:{max(wide, 1) / 1000:.3f}px;--narrow:{max(narrow, 1) / 1000:.3f}px",
    )


def _chart(comparison: Comparison, run: Run, batches: Sequence[Batch], tags: _Tags) -> Html:
    data = sum(is_data(batch) for batch in batches)
    datagrams = sum(len(batch["lengths"]) for batch in batches if is_data(batch))
    heading = element(
        "p",
        element("b", run.rule),
        " ",
        element(
            "span",
            f"{plural(data, 'batch', 'batches')}, {plural(datagrams, 'datagram')}, "
            f"{plural(datagrams - data, 'send')} saved",
            class_="quiet",
        ),
        class_="chart-head",
    )
    notes = []
    if len(batches) > BATCHES_DRAWN:
        notes.append(f"The first {BATCHES_DRAWN} of {count(len(batches))} batches are drawn.")
    if run.result["truncated"]:
        notes.append("The run kept only its first batches; the table of cases counts all of them.")
    numbers = accumulate(map(is_data, batches))
    bars = [
        element("li", *_batch(comparison, batch, number, tags))
        for number, batch in zip(numbers, batches[:BATCHES_DRAWN], strict=False)
    ]
    text = as_text(batches) if len(batches) <= BATCHES_AS_TEXT else None
    return element(
        "section",
        heading,
        element(
            "ol", *bars, class_="batches", tabindex="0", aria_label=f"batches under {run.rule}"
        ),
        element("p", text, class_="brackets") if text else None,
        element("p", " ".join(notes), class_="note") if notes else None,
    )


def _batch(comparison: Comparison, batch: Batch, number: int, tags: _Tags) -> Iterator[Html]:
    tag = [tags.letters.get((batch["source"], batch["destination"]))]
    if tags.with_ecn:
        tag.append(ecn_name(batch["ecn"]))
    if any(tag) and is_data(batch):
        yield element("small", " ".join(filter(None, tag)), class_="tag")
    yield element(
        "div",
        *_segments(batch),
        class_="batch" if is_data(batch) else "batch control",
        role="img",
        tabindex="0",
        data_tip=True,
        aria_label=_description(comparison, batch, number),
    )


def _segments(batch: Batch) -> Iterator[Html]:
    lengths = batch["payload"]
    pieces = list(zip(batch["flows"], batch["inner"], lengths, strict=True))
    longest = max(lengths, default=0)
    merge = len(pieces) > SEGMENTS_DRAWN
    for (flow, inner, length), group in groupby(pieces):
        n = len(list(group))
        for times in (n,) if merge else (1,) * n:
            colour = f"f{flow % FLOW_COLOURS}" if flow >= 0 else "unknown"
            label = f"{times}×{length}" if times > 1 else str(length)
            yield element(
                "span",
                element("i", label) if inner else None,
                class_=colour if length == longest else f"{colour} shorter",
                style=f"--b:{max(length * times, 1)}",
            )


def _description(comparison: Comparison, batch: Batch, number: int) -> str:
    lengths = [str(n) for n in batch["lengths"]]
    if len(lengths) > 8:
        lengths = [*lengths[:6], "…", lengths[-1]]
    kind = f"batch {count(number)}" if is_data(batch) else "handshake or keepalive"
    flows = sorted({flow for flow in batch["flows"] if flow >= 0})
    flow_text = f"; {'flow' if len(flows) == 1 else 'flows'} " + " ".join(map(str, flows[:8]))
    return (
        f"{kind}, {duration(batch['time_ns'] - comparison.start_ns)}; "
        f"{batch['source']} → {batch['destination']}; "
        f"{plural(len(batch['lengths']), 'datagram')} of {' '.join(lengths)} B"
        + (f", segment size {count(batch['segment_size'])}" if batch["segment_size"] else "")
        + f"; {ecn_name(batch['ecn'])}"
        + (flow_text if flows else "")
    )


def _legend(comparison: Comparison) -> Html | None:
    flows = comparison.runs[0].result["flows"]
    if len(flows) < 2:
        return None
    items = [
        element(
            "li",
            element("span", class_=f"swatch f{flow['id'] % FLOW_COLOURS}"),
            f"{flow['id']} ",
            element("span", f"{flow['protocol']} {flow['source']} → {flow['destination']}"),
        )
        for flow in flows[: 2 * FLOW_COLOURS]
    ]
    more = len(flows) - len(items)
    if more > 0:
        items.append(
            element("li", f"and {plural(more, 'more flow', 'more flows')}; colours repeat")
        )
    return element("ul", *items, class_="legend")


def _tags(data: Sequence[Batch]) -> _Tags:
    connections = dict.fromkeys((batch["source"], batch["destination"]) for batch in data)
    letters = {connection: _letter(n) for n, connection in enumerate(connections)}
    return _Tags(letters if len(letters) > 1 else {}, len({batch["ecn"] for batch in data}) > 1)


def _letter(n: int) -> str:
    return ascii_uppercase[n] if n < len(ascii_uppercase) else str(n + 1)


def _connections(tags: _Tags) -> Html | None:
    if not tags.letters:
        return None
    items = [
        element("li", f"{letter} {source} → {destination}")
        for (source, destination), letter in list(tags.letters.items())[: 2 * FLOW_COLOURS]
    ]
    return element("ul", *items, class_="legend")
