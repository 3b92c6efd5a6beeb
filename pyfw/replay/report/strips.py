"""The batch strips. In: a comparison. Out: for each sending end, rules one under the other, the batches
in sending order: a bracket a batch, a bar a segment, to scale. Drops: batches beyond the first so many,
which the strip says.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from pyfw.replay.report.markup import Html, element, joined
from pyfw.replay.report.quantity import count, duration, ecn, of
from pyfw.replay.report.run import Comparison, Run

BATCHES_DRAWN = 120
BATCHES_AS_TEXT = 60
# Above so many segments, neighbours of one flow and length share a bar.
SEGMENTS_DRAWN = 16
FLOW_COLOURS = 6
# Widths in thousandths of a pixel a byte: a line of a wide and of a narrow page; not above the most.
_WIDE_LINE_PX, _NARROW_LINE_PX, _MOST, _LEAST = 1_000, 320, 110, 28

Batch = Mapping[str, Any]


def strips(comparison: Comparison) -> Html:
    """All strips of a case, with a legend of flows."""
    ends = dict.fromkeys(batch["end"] for run in comparison.runs for batch in run.result["batches"])
    if not ends:
        return element("p", "No batches were kept of this run.", class_="note")
    return joined([*(_of_end(comparison, end) for end in ends), _legend(comparison)])


def as_text(batches: Sequence[Batch]) -> str:
    """Batches of data in brackets, by their inner lengths: [1228 834] [1031]."""
    return " ".join(f"[{' '.join(map(str, _inner(batch)))}]" for batch in batches if _data(batch))


def _of_end(comparison: Comparison, end: str) -> Html:
    runs = [
        (run, [batch for batch in run.result["batches"] if batch["end"] == end])
        for run in comparison.runs
    ]
    data = [batch for _, batches in runs for batch in batches if _data(batch)]
    if not data:
        n = max(len(batches) for _, batches in runs)
        text = f"{end} sent {of(n, 'control message')} and no data."
        return element("p", text, class_="note")
    shown = [batch for batch in data[:BATCHES_DRAWN] if _data(batch)]
    largest = max(sum(_widths(batch)) for batch in shown)
    total = max(sum(sum(_widths(b)) for b in batches[:BATCHES_DRAWN]) for _, batches in runs)
    wide = min(max(_LEAST, 1000 * _WIDE_LINE_PX // total), _MOST, 1000 * _WIDE_LINE_PX // largest)
    narrow = min(max(wide * 5 // 8, _LEAST), 1000 * _NARROW_LINE_PX // largest)
    tags = _tags(data)
    return element(
        "div",
        element("h4", f"{end} sends"),
        *(_strip(comparison, run, batches, tags) for run, batches in runs),
        class_="strips",
        style=f"--wide:{max(wide, 1) / 1000:.3f}px;--narrow:{max(narrow, 1) / 1000:.3f}px",
    )


def _strip(
    comparison: Comparison, run: Run, batches: Sequence[Batch], tags: tuple[bool, bool]
) -> Html:
    data = sum(_data(batch) for batch in batches)
    datagrams = sum(len(batch["lengths"]) for batch in batches if _data(batch))
    heading = element(
        "p",
        element("b", run.rule),
        " ",
        element(
            "span",
            f"{of(data, 'batch', 'batches')}, {of(datagrams, 'datagram')}, "
            f"{of(datagrams - data, 'send')} saved",
            class_="quiet",
        ),
        class_="strip-head",
    )
    notes = []
    if len(batches) > BATCHES_DRAWN:
        notes.append(f"The first {BATCHES_DRAWN} of {count(len(batches))} batches are drawn.")
    if run.result["truncated"]:
        notes.append("The run kept only its first batches; the table of cases counts them all.")
    bars = [
        element("li", *_batch(comparison, batch, number, tags))
        for number, batch in enumerate(batches[:BATCHES_DRAWN], 1)
    ]
    text = as_text(batches) if len(batches) <= BATCHES_AS_TEXT else None
    return element(
        "section",
        heading,
        element("ol", *bars, class_="strip"),
        element("p", text, class_="brackets") if text else None,
        element("p", " ".join(notes), class_="note") if notes else None,
    )


def _batch(
    comparison: Comparison, batch: Batch, number: int, tags: tuple[bool, bool]
) -> Iterator[Html]:
    with_destination, with_ecn = tags
    tag = [batch["destination"]] if with_destination else []
    if with_ecn:
        tag.append(ecn(batch["ecn"]))
    if tag and _data(batch):
        yield element("small", " ".join(tag), class_="tag")
    yield element(
        "div",
        *_segments(batch),
        class_="batch" if _data(batch) else "batch control",
        role="img",
        tabindex="0",
        data_tip=True,
        aria_label=_facts(comparison, batch, number),
    )


def _segments(batch: Batch) -> Iterator[Html]:
    inner, widths, flows = _inner(batch), _widths(batch), batch["flows"]
    size = max(widths, default=0)
    pieces = list(zip(flows, widths, inner, strict=True))
    together = len(pieces) > SEGMENTS_DRAWN
    for (flow, width, length), found in groupby(pieces):
        n = len(list(found))
        for times in (n,) if together else (1,) * n:
            colour = "control" if flow < 0 else f"f{flow % FLOW_COLOURS}"
            label = f"{times}×{length}" if times > 1 else str(length) if flow >= 0 else ""
            yield element(
                "span",
                element("i", label),
                class_=colour if width == size else f"{colour} closer",
                style=f"--b:{max(width * times, 1)}",
            )


def _facts(comparison: Comparison, batch: Batch, number: int) -> str:
    lengths = [str(n) for n in batch["lengths"]]
    if len(lengths) > 8:
        lengths = [*lengths[:6], "…", lengths[-1]]
    kind = f"batch {count(number)}" if _data(batch) else f"{count(number)}: handshake or keepalive"
    flows = sorted({flow for flow in batch["flows"] if flow >= 0})
    which = f"; {'flow' if len(flows) == 1 else 'flows'} " + " ".join(map(str, flows[:8]))
    return (
        f"{kind}, {duration(batch['time_ns'] - comparison.start_ns)}; "
        f"{batch['source']} → {batch['destination']}; "
        f"{of(len(batch['lengths']), 'datagram')} of {' '.join(lengths)} B"
        + (f", segment size {count(batch['segment_size'])}" if batch["segment_size"] else "")
        + f"; {ecn(batch['ecn'])}"
        + (which if flows else "")
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
        items.append(element("li", f"and {of(more, 'flow')} more; colours repeat"))
    return element("ul", *items, class_="legend")


def _tags(data: Sequence[Batch]) -> tuple[bool, bool]:
    destinations = {(batch["source"], batch["destination"]) for batch in data}
    return len(destinations) > 1, len({batch["ecn"] for batch in data}) > 1


def _data(batch: Batch) -> bool:
    return any(flow >= 0 for flow in batch["flows"])


def _inner(batch: Batch) -> list[int]:
    # Control messages have no inner segment; a run may leave them out or give zero.
    inner = list(batch["inner"])
    return inner if len(inner) == len(batch["lengths"]) else list(batch["lengths"])


def _widths(batch: Batch) -> list[int]:
    return [
        length if flow >= 0 else 0
        for flow, length in zip(batch["flows"], _inner(batch), strict=True)
    ]
