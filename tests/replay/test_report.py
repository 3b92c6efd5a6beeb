"""The HTML report without a browser: structure, texts and data."""

import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pyfw.replay.report import Run, render, write_report
from pyfw.replay.report.histograms import reordering_extents
from pyfw.replay.report.run import compare
from pyfw.replay.report.sequence import figures, panel
from pyfw.replay.report.verdict import headline
from tests.replay.results import ecn_run, run, seed_run

FIVE_BATCHES = "[1228 834] [1031] [1228 834] [1228 1228 637] [1228 1228]"
_VOID = {"meta", "input", "br", "link", "hr", "col"}


class Page(HTMLParser):
    """Parses a page, and checks that its elements are nested."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open:
            return
        tag, attributes = self.elements[-1]
        self.texts.setdefault(f"{tag}.{attributes.get('class')}", []).append(data)

    def attributes(self, name: str) -> list[str]:
        return [a[name] or "" for _, a in self.elements if name in a]


def plots(page: str) -> list[dict[str, Any]]:
    found = re.search(r'<script type="application/json" id="plots">(.*?)</script>', page, re.S)
    assert found
    data: list[dict[str, Any]] = json.loads(found[1])
    return data


def both_rules() -> list[Run]:
    return [seed_run("by-size"), seed_run("ordered")]


def test_equal_runs_give_equal_bytes() -> None:
    script = (
        "import sys; from pyfw.replay.report import render; from tests.replay.results import seed_run; "
        "page = render([seed_run('by-size'), seed_run('ordered')]); "
        "sys.stdout.buffer.write(page.encode())"
    )
    pages = {
        subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            timeout=60,
        ).stdout
        for seed in ("1", "2")
    }
    assert pages == {render(both_rules()).encode()}


def test_a_report_is_small_enough_to_attach(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", both_rules())
    assert 20_000 < (tmp_path / "report.html").stat().st_size <= 300_000


def test_elements_are_nested_and_ids_are_unique() -> None:
    page = Page(render([*both_rules(), ecn_run("by-ecn"), ecn_run("ordered")]))
    assert {"html", "head", "body", "main", "table", "figure"} <= {tag for tag, _ in page.elements}
    assert max(Counter(page.attributes("id")).values()) == 1


def test_a_page_makes_no_requests() -> None:
    text = render(both_rules())
    page = Page(text)
    assert page.attributes("src") == []
    assert all(link.startswith("#") for link in page.attributes("href"))
    assert not re.search(r"https?:|@import|url\(|fetch\(|XMLHttpRequest|WebSocket|import\(", text)
    assert "default-src 'none'" in text


def test_batches_are_listed_in_sending_order() -> None:
    page = Page(render(both_rules()))
    assert page.texts["p.brackets"] == [
        "[1228 1228 1228 1228 1228 1228] [1031] [834 834] [637]",
        FIVE_BATCHES,
    ]


def test_bars_are_segments_and_shorter_ones_end_a_batch() -> None:
    text = render([seed_run("ordered")])
    batches = re.findall(r'<div class="batch" .*?</div>', text)
    bars = [re.findall(r'<span class="f0( shorter)?" style="--b:(\d+)">', b) for b in batches]
    drawn = " ".join("[" + " ".join(length for _, length in batch) + "]" for batch in bars)
    assert drawn == FIVE_BATCHES
    assert [length for batch in bars for shorter, length in batch if shorter] == [
        "834",
        "834",
        "637",
    ]


def test_labels_show_where_the_ecn_field_changes() -> None:
    page = Page(render([ecn_run("ordered"), ecn_run("by-ecn")]))
    ordered = ["ECT(0)", "CE", "ECT(0)", "CE", "ECT(0)"]
    assert page.texts["small.tag"] == [*ordered, "ECT(0)", "CE"]


def test_drawn_points_are_those_of_the_result() -> None:
    runs = both_rules()
    drawn = plots(render(runs))[0]["panels"]
    for part, one in zip(drawn, runs, strict=True):
        kinds = Counter(point[3] for point in part["points"])
        assert kinds == Counter(point[4] for point in one.result["points"])
        assert kinds[3] == one.result["flows"][0]["late"]
    assert Counter(point[3] for point in drawn[1]["points"]) == {0: 10, 1: 10}


def test_extents_follow_rfc_4737() -> None:
    # Arrivals 0 3 5 6 8 9 2 1 4 7: 2 arrives 5 after 3, 1 arrives 6 after 3, 4 and 7 likewise.
    assert reordering_extents(seed_run("by-size")) == {5: 2, 6: 2}
    assert reordering_extents(seed_run("ordered")) == {}


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([], "Nothing was replayed."),
        ([seed_run("ordered")], "Every flow arrives in order."),
        (
            both_rules(),
            "Under by-size 6 of 10 segments arrive early and 4 late; "
            "under ordered every flow arrives in order.",
        ),
        (
            [seed_run("ordered", expected_ok=False)],
            "gso_egress/seed fails. Every flow arrives in order.",
        ),
        (
            [
                run("ordered", (1, 2), case="a", expected_ok=True),
                run("ordered", (1, 2), case="b", expected_ok=False),
            ],
            "1 of 2 cases fails. Every flow arrives in order.",
        ),
    ],
)
def test_the_headline_is_the_verdict(runs: list[Run], expected: str) -> None:
    assert headline(compare(runs)) == expected


def test_a_corrupt_capture_is_shown_with_its_offset() -> None:
    error = {"offset": 4096, "text": "a record claims 5 GB"}
    good = seed_run("ordered")
    text = render([replace(good, result={**good.result, "error": error})])
    assert "The capture is corrupt at byte 4,096: a record claims 5 GB." in text
    assert "The capture of gso_egress/seed is corrupt." in text


def test_a_failed_case_shows_the_differences() -> None:
    text = render([seed_run("by-size", expected_ok=False, diff="- [1031]\n+ [834 834]\n  same")])
    assert "<del>- [1031]</del>\n<ins>+ [834 834]</ins>\n  same" in text


def test_names_are_escaped() -> None:
    evil = '"></script><script>alert(1)</script>&'
    page = render([replace(seed_run("ordered"), case=evil, rule=evil, title=evil, diff=evil)])
    assert Page(page).elements.count(("script", {})) == 1
    assert plots(page)[0]["panels"][0]["rule"] == evil


def test_a_thinned_flow_says_what_is_drawn() -> None:
    long = run("by-size", (1200, 1200, 700) * 700)
    part = panel(long, long.result["flows"][0], 0, budget=2_000)
    assert len(part.points) <= 2_000 < part.kept == 4_200
    text, _ = figures(compare([long])[0], budget=2_000)
    note = re.search(r"one of every (\d+) segments in order, and ([\d,]+) of ([\d,]+)", text)
    assert note
    drawn, of_all = (int(number.replace(",", "")) for number in note.groups()[1:])
    assert (drawn, of_all) == (part.exceptions_drawn, part.exceptions)
    assert of_all == sum(point[4] in (2, 3, 4) for point in long.result["points"])


def test_a_thinned_flow_keeps_its_few_late_points() -> None:
    long = run("ordered", (1200,) * 3_000)
    points = [list(point) for point in long.result["points"]]
    for late in points[4_000:4_003]:
        late[4] = 3
    part = panel(
        replace(long, result={**long.result, "points": points}), long.result["flows"][0], 0, 1_000
    )
    assert (part.exceptions_drawn, part.exceptions) == (3, 3)
    assert len(part.points) <= 1_000
    late = [point for point in part.points if point[3] == 3]
    sent = {(point[1], point[2]) for point in part.points if point[3] == 0}
    assert all((point[1], point[2]) in sent for point in late)


def test_a_run_without_points_still_has_counts() -> None:
    bare = seed_run("ordered")
    nothing = {"points": [], "batches": [], "fates": [], "truncated": True}
    text = render([replace(bare, result={**bare.result, **nothing})])
    assert "This run kept no points." in text
    assert "This run kept no batches." in text
    assert Page(text).texts["td.n"][:1] == ["10"]


@pytest.mark.parametrize("truncated", [False, True])
def test_losses_are_drawn_only_for_complete_runs(truncated: bool) -> None:
    one = seed_run("ordered")
    part = {**one.result, "points": one.result["points"][:-1], "truncated": truncated}
    text = render([replace(one, result=part)])
    assert plots(text)[0]["panels"][0]["whole"] is not truncated
    assert ("kept only its first points" in text) == truncated


def test_drops_and_wire_events_are_counted_by_reason() -> None:
    lossy = seed_run("ordered")
    ends = json.loads(json.dumps(lossy.result["ends"]))
    ends["client"]["counters"]["inbound"]["drops"]["source_not_allowed"] = 7
    fates = [[0, "gateway", 3, "lost"], [1, "gateway", 5, "lost"], [2, "gateway", 6, "queue_full"]]
    text = render([replace(lossy, result={**lossy.result, "ends": ends, "fates": fates})])
    assert re.search(r"client</th><td>inbound</td><td>source_not_allowed</td><td>7<", text)
    assert re.search(r"gateway</th><td>lost</td><td>2<", text)
    assert re.search(r"gateway</th><td>queue full</td><td>1<", text)
