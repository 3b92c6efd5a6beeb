import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pyfw.replay.report import Run, render, write_report
from pyfw.replay.report.histograms import reordering_extents
from pyfw.replay.report.run import compare
from pyfw.replay.report.sequence import figures, panel
from pyfw.replay.report.verdict import sentence
from tests.replay.browser import Browser, chromium
from tests.replay.report_results import ecn_run, run, seed_run

FIVE_BATCHES = "[1228 834] [1031] [1228 834] [1228 1228 637] [1228 1228]"
_VOID = {"meta", "input", "br", "link", "hr", "col"}


class Page(HTMLParser):
    """Elements, properly nested, and the text of some of them."""

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


def test_the_same_runs_give_the_same_bytes() -> None:
    script = (
        "import sys; from tests.replay.test_report import both_rules, render; "
        "sys.stdout.buffer.write(render(both_rules()).encode())"
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


def test_a_report_fits_an_attachment(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", both_rules())
    assert 20_000 < (tmp_path / "report.html").stat().st_size <= 300_000


def test_elements_are_nested_and_ids_are_unique() -> None:
    page = Page(render([*both_rules(), ecn_run("by-ecn"), ecn_run("ordered")]))
    assert {"html", "head", "body", "main", "table", "figure"} <= {tag for tag, _ in page.elements}
    assert max(Counter(page.attributes("id")).values()) == 1


def test_nothing_is_fetched() -> None:
    text = render(both_rules())
    page = Page(text)
    assert page.attributes("src") == []
    assert all(link.startswith("#") for link in page.attributes("href"))
    assert not re.search(r"https?:|@import|url\(|fetch\(|XMLHttpRequest|WebSocket|import\(", text)
    assert "default-src 'none'" in text


def test_the_batches_of_the_seed_stand_in_order() -> None:
    page = Page(render(both_rules()))
    assert page.texts["p.brackets"] == [
        "[1228 1228 1228 1228 1228 1228] [1031] [834 834] [637]",
        FIVE_BATCHES,
    ]


def test_bars_of_a_strip_are_its_segments_and_shorter_ones_close_it() -> None:
    text = render([seed_run("ordered")])
    batches = re.findall(r'<div class="batch" .*?</div>', text)
    bars = [re.findall(r'<span class="f0( closer)?" style="--b:(\d+)">', b) for b in batches]
    drawn = " ".join("[" + " ".join(length for _, length in batch) + "]" for batch in bars)
    assert drawn == FIVE_BATCHES
    assert [length for batch in bars for closer, length in batch if closer] == ["834", "834", "637"]


def test_marks_above_batches_say_where_ecn_changes() -> None:
    page = Page(render([ecn_run("ordered"), ecn_run("by-ecn")]))
    ordered = ["ECT(0)", "CE", "ECT(0)", "CE", "ECT(0)"]
    assert page.texts["small.tag"] == [*ordered, "ECT(0)", "CE"]


def test_points_out_of_order_are_those_of_the_result() -> None:
    runs = both_rules()
    drawn = plots(render(runs))[0]["panels"]
    for part, given in zip(drawn, runs, strict=True):
        kinds = Counter(point[3] for point in part["points"])
        assert kinds == Counter(point[4] for point in given.result["points"])
        assert kinds[3] == given.result["flows"][0]["late"]
    assert Counter(point[3] for point in drawn[1]["points"]) == {0: 10, 1: 10}


def test_extents_are_those_of_rfc_4737() -> None:
    # Arrivals 0 3 5 6 8 9 2 1 4 7: 2 waited for 3 5 6 8 9, 1 for one more, 4 from 5 on, 7 from 8 on.
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
def test_the_verdict_is_said_in_a_sentence(runs: list[Run], expected: str) -> None:
    assert sentence(compare(runs)) == expected


def test_a_corrupt_capture_is_told_with_its_offset() -> None:
    error = {"offset": 4096, "text": "a record claims 5 GB"}
    good = seed_run("ordered")
    text = render([replace(good, result={**good.result, "error": error})])
    assert "The capture is wrong at byte 4,096: a record claims 5 GB." in text
    assert "The capture of gso_egress/seed is corrupt." in text


def test_a_failed_case_shows_what_differs() -> None:
    text = render([seed_run("by-size", expected_ok=False, diff="- [1031]\n+ [834 834]\n  same")])
    assert "<del>- [1031]</del>\n<ins>+ [834 834]</ins>\n  same" in text


def test_names_cannot_break_out_of_the_page() -> None:
    evil = '"></script><script>alert(1)</script>&'
    page = render([replace(seed_run("ordered"), case=evil, rule=evil, title=evil, diff=evil)])
    assert Page(page).elements.count(("script", {})) == 1
    assert plots(page)[0]["panels"][0]["rule"] == evil


def test_a_long_flow_is_thinned_and_the_page_says_so() -> None:
    long = run("by-size", (1200, 1200, 700) * 700)
    part = panel(long, long.result["flows"][0], 0, budget=2_000)
    assert len(part.points) <= 2_000 < part.kept == 4_200
    text, _ = figures(compare([long])[0], budget=2_000)
    said = re.search(
        r"one of every (\d+) segments in order is drawn, and ([\d,]+) of ([\d,]+)", text
    )
    assert said
    drawn, given = (int(number.replace(",", "")) for number in said.groups()[1:])
    assert (drawn, given) == (part.exceptions_drawn, part.exceptions)
    assert given == sum(point[4] in (2, 3, 4) for point in long.result["points"])


def test_few_points_out_of_order_all_stay_in_a_long_flow() -> None:
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


def test_a_run_that_kept_nothing_still_has_its_counts() -> None:
    bare = seed_run("ordered")
    nothing = {"points": [], "batches": [], "fates": [], "truncated": True}
    text = render([replace(bare, result={**bare.result, **nothing})])
    assert "No points were kept of this run." in text
    assert "No batches were kept of this run." in text
    assert Page(text).texts["td.n"][:1] == ["10"]


@pytest.mark.parametrize("truncated", [False, True])
def test_only_a_whole_run_can_tell_what_was_lost(truncated: bool) -> None:
    one = seed_run("ordered")
    part = {**one.result, "points": one.result["points"][:-1], "truncated": truncated}
    text = render([replace(one, result=part)])
    assert plots(text)[0]["panels"][0]["whole"] is not truncated
    assert ("the run kept its first points only" in text) == truncated


def test_drops_and_fates_are_counted_by_reason() -> None:
    lossy = seed_run("ordered")
    ends = json.loads(json.dumps(lossy.result["ends"]))
    ends["client"]["counters"]["inbound"]["drops"]["source_not_allowed"] = 7
    fates = [[0, "gateway", 3, "lost"], [1, "gateway", 5, "lost"], [2, "gateway", 6, "queue_full"]]
    text = render([replace(lossy, result={**lossy.result, "ends": ends, "fates": fates})])
    assert re.search(r"client</th><td>inbound</td><td>source_not_allowed</td><td>7<", text)
    assert re.search(r"gateway</th><td>lost</td><td>2<", text)
    assert re.search(r"gateway</th><td>queue full</td><td>1<", text)


# In a browser, where there is one.

WIDTHS = (390, 820, 1440)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if chromium() is None:
        pytest.skip("chromium is not installed")
    with Browser(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, both_rules())
    return path


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dark", [False, True])
def test_a_page_draws_itself_alone_and_fits(
    browser: Browser, page: Path, width: int, dark: bool
) -> None:
    browser.console.clear()
    browser.fetched.clear()
    browser.open(page, width, dark=dark)
    assert browser.run("document.documentElement.scrollWidth") == width
    assert browser.run("document.querySelectorAll('.glyph-late').length") == 4 + 1  # and the key
    assert browser.run("document.querySelectorAll('.glyph-early').length") == 5 + 1
    light = int(browser.run("getComputedStyle(document.body).backgroundColor")[4:].split(",")[0])
    assert (light < 50) == dark
    assert browser.console == []
    assert browser.fetched == [page.as_uri()]


def canvas(browser: Browser, number: int = 0) -> dict[str, float]:
    plot = f"document.querySelectorAll('.canvas')[{number}]"
    browser.run(f"{plot}.scrollIntoView({{block: 'center'}})")
    frames = "requestAnimationFrame(() => requestAnimationFrame(() => done(true)))"
    browser.run(f"new Promise(done => {frames})")  # until the page has noticed that it scrolled
    area: dict[str, float] = browser.run(f"{plot}.getBoundingClientRect().toJSON()")
    return area


def labels(browser: Browser, number: int = 0) -> list[str]:
    script = f"[...document.querySelectorAll('.canvas')[{number}].querySelectorAll('text')]"
    found: list[str] = browser.run(f"{script}.map(text => text.textContent)")
    return found


def tip(browser: Browser) -> str:
    text: str = browser.run(
        "(tip => tip.hidden ? '' : tip.textContent)(document.querySelector('#tip'))"
    )
    return text


def test_hovering_tells_the_facts_of_a_segment_and_marks_it_under_every_rule(
    browser: Browser, page: Path
) -> None:
    browser.open(page)
    canvas(browser)
    at = browser.run(
        "(r => [r.x + r.width / 2, r.y + r.height / 2])"
        "(document.querySelector('.canvas .glyph-late').getBoundingClientRect())"
    )
    browser.mouse("mouseMoved", *at)
    lines = tip(browser).split("\n")
    assert lines[:2] == ["by-size: arrived late", "bytes 2,062–3,093, 1,031 B"]
    assert lines[2:] == [
        "sent 3rd, at 14 µs",
        "arrived 7th, at 958 µs, after 944 µs",
        "overtaken by 5",
    ]
    assert browser.run("document.querySelectorAll('.halo').length") == 2
    browser.mouse("mouseMoved", 2, 2)
    assert tip(browser) == ""


def test_a_batch_tells_its_facts_when_it_has_the_focus(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.run("document.querySelectorAll('.batch:not(.control)')[4].focus()")
    assert tip(browser).split("\n") == [
        "batch 1, 708 µs",
        "192.0.2.1:51820 → 192.0.2.2:51820",
        "2 datagrams of 1312 928 B, segment size 1,312",
        "Not-ECT",
        "flow 0",
    ]


def test_a_dragged_box_zooms_all_rules_and_escape_resets(browser: Browser, page: Path) -> None:
    browser.open(page)
    area, before = canvas(browser), labels(browser)
    x, y = area["x"] + area["width"] * 0.4, area["y"] + 60
    browser.mouse("mousePressed", x, y, button="left", clickCount=1)
    browser.mouse("mouseMoved", x + 100, y + 90, button="left", buttons=1)
    assert browser.run("document.querySelectorAll('.box').length") == 1
    browser.mouse("mouseReleased", x + 100, y + 90, button="left", clickCount=1)
    zoomed = labels(browser)
    assert zoomed != before
    assert labels(browser, 1) == zoomed
    browser.press("Escape")
    assert labels(browser) == before


def test_the_wheel_zooms_a_plot_that_has_the_focus_and_scrolls_the_page_else(
    browser: Browser, page: Path
) -> None:
    browser.open(page)
    area, before = canvas(browser), labels(browser)
    x, y = area["x"] + 200, area["y"] + 100
    wheel = {"deltaX": 0, "deltaY": -120}
    top = browser.run("scrollY")
    browser.mouse("mouseWheel", x, y, **wheel)
    reached = f"scrollY <= {top - 120} ? done(true) : requestAnimationFrame(look)"
    assert browser.run(f"new Promise(done => {{ const look = () => {reached}; look(); }})")
    assert labels(browser) == before
    area = canvas(browser)
    y = area["y"] + 100
    browser.mouse("mousePressed", x, y, button="left", clickCount=1)
    browser.mouse("mouseReleased", x, y, button="left", clickCount=1)
    browser.mouse("mouseWheel", x, y, **wheel)
    assert labels(browser) != before


def test_two_fingers_zoom(browser: Browser, page: Path) -> None:
    browser.open(page, 390)
    browser.call("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=2)
    area, before = canvas(browser), labels(browser)
    x, y = area["x"] + 180, area["y"] + 120

    def touch(kind: str, apart: float) -> None:
        fingers = [{"x": x - apart, "y": y, "id": 1}, {"x": x + apart, "y": y, "id": 2}]
        points = [] if kind == "touchEnd" else fingers
        browser.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)

    touch("touchStart", 20)
    for apart in (30, 45, 60, 80):
        touch("touchMove", apart)
    touch("touchEnd", 80)
    browser.call("Emulation.setTouchEmulationEnabled", enabled=False)
    assert labels(browser) != before


def test_keys_walk_the_points_out_of_order(browser: Browser, page: Path) -> None:
    browser.open(page)
    canvas(browser)
    browser.run("document.querySelector('.canvas').focus()")
    seen = []
    for _ in range(10):
        browser.press("n")
        seen.append(tip(browser).split("\n")[0])
    assert seen == ["by-size: arrived early"] * 5 + ["by-size: arrived late"] * 4 + [seen[0]]


def test_the_axis_and_the_theme_can_be_changed(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert labels(browser)[-1] == "order of sending and of arrival"
    browser.run("document.querySelector('.bar-of-tools button').click()")
    assert labels(browser)[-1] == "time, µs"
    for expected in ("light", "dark", "system"):
        browser.run("document.getElementById('theme').click()")
        assert browser.run("document.documentElement.dataset.theme") == expected
