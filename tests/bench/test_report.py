"""What is written of a run: text, Markdown, the page, the picture."""

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from bench import markdown, report, tables, targets
from bench.results import Document, Record, Results
from bench.targets import Bar
from tests.bench.made_up import NET, document


@pytest.fixture
def results() -> Results:
    return Results(document())


@pytest.fixture
def judged(results: Results) -> list[Bar]:
    return targets.bars(results)


def test_the_table_has_medians_ratios_and_every_bar(results: Results, judged: list[Bar]) -> None:
    text = tables.text(results, judged)
    assert "8.00 (8.00–8.00)" in text
    assert re.search(r"one TCP flow up, throughput .* 2\.00 \(2\.00–2\.00\)", text)
    assert text.count("pass  ") == len(judged)
    assert "gotatun              left out: it is built with cargo" in text


def test_a_missed_bar_stands_out(results: Results) -> None:
    slow = Results(document(changes={"rtt-idle pyfw p50_us": 999}))
    text = tables.text(slow, targets.bars(slow))
    assert "FAIL  pyfw (ipsec-mb): ping, idle, delay, over boringtun: 12.49" in text


def test_losses_name_their_layers() -> None:
    lossy = Record(
        round=1,
        net=NET,
        candidate="boringtun",
        measure="udp-64-flood",
        values={"received_s": 1.0},
        drops={"TUN queue": 1234},
    )
    run = document()
    found = Results(msgspec.structs.replace(run, records=[*run.records, lossy]))
    assert "TUN queue 1,234" in tables.text(found, [])
    assert "TUN queue 1,234" in report.page(found, [])
    assert "TUN queue 1,234" in markdown.page(found, [])


def test_what_failed_is_said_once_with_its_last_words() -> None:
    run = document()
    failed = [
        Record(round=n, net=NET, candidate="boringtun", measure="tcp-1-up", failed=f"broke, {n}")
        for n in (1, 2)
    ]
    found = Results(msgspec.structs.replace(run, records=[*run.records, *failed]))
    line = "IPv4, MTU 1420, boringtun, one TCP flow up, 2 rounds: broke, 2"
    assert line in tables.text(found, [])
    assert line in report.page(found, [])
    assert line in markdown.page(found, [])


class Tags(HTMLParser):
    """What a page consists of."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.count: dict[str, int] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_fetches_nothing(results: Results, judged: list[Bar]) -> None:
    page = report.page(results, judged)
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert tags.count["svg"] > 10
    assert not {name for name, _ in tags.attributes} & {"src", "href", "srcset"}
    assert "url(" not in page and "@import" not in page


def test_a_machine_may_be_called_anything(results: Results, judged: list[Bar]) -> None:
    page = report.page(results, judged)
    assert "Some CPU &lt;fast&gt;" in page
    assert "<fast>" not in page


def test_the_page_says_in_a_sentence_what_was_found(results: Results, judged: list[Bar]) -> None:
    assert (
        "One TCP flow through pyfw: 2.00 times as fast as Tailscale's fork, at 0.40 times its CPU"
        in report.page(results, judged)
    )


def test_a_bar_of_the_chart_is_as_long_as_its_share_of_the_longest(results: Results) -> None:
    page = report.page(results, [])
    chart = page[page.index("one TCP flow up</h3>") :]
    lengths = [float(length) for length in re.findall(r'<rect[^>]* width="([\d.]+)"', chart)[:4]]
    # 8.0, 6.4, 16.0 and 4.0 Gbit/s.
    longest = max(lengths)
    assert [length / longest for length in lengths] == pytest.approx(
        [0.5, 0.4, 1.0, 0.25], abs=0.01
    )


def test_a_run_of_nothing_makes_a_page_all_the_same() -> None:
    empty = Document(
        machine=document().machine,
        conditions=document().conditions,
        plan="quick",
        rounds=0,
        candidates=[],
    )
    results = Results(empty)
    judged = targets.bars(results)
    assert "What was measured" in report.page(results, judged)
    assert "not measured" in tables.text(results, judged)
    ElementTree.fromstring(report.picture(results))


def test_the_picture_is_one_svg_for_light_and_dark(results: Results) -> None:
    picture = report.picture(results)
    root = ElementTree.fromstring(picture)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "prefers-color-scheme: dark" in picture
    assert "Tailscale's fork" in "".join(root.itertext())


def test_the_summary_replaces_the_previous_one_only(
    tmp_path: Path, results: Results, judged: list[Bar]
) -> None:
    file = tmp_path / "performance.md"
    begin = "<!-- results: written by python -m bench.tunnel --markdown -->"
    file.write_text(f"# Method\n\n{begin}\n\nold\n\n<!-- end of results -->\n\nbelow\n")
    for _ in range(2):
        markdown.replace_results(file, markdown.summary(results, judged))
    text = file.read_text()
    assert text.startswith("# Method\n") and text.endswith("\n\nbelow\n")
    assert "old" not in text
    assert text.count("one TCP flow up: throughput, Gbit/s | 8.00 | 6.40 | 4.00 |") == 1
    assert f"{len(judged)} targets were judged, 0 were missed" in text


def test_the_summary_is_one_table_and_names_the_page(results: Results, judged: list[Bar]) -> None:
    summary = markdown.summary(results, judged)
    assert sum(line.startswith("| ---") for line in summary.splitlines()) == 1
    assert "cipher off" not in summary
    name = markdown.page_name(results)
    assert name == "2026-09-30.md"
    assert f"(../bench/results/{name})" in summary
    assert markdown.page(results, judged).count("\n## Targets\n") == 1


def test_a_file_without_a_place_for_results_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "performance.md"
    file.write_text("# Method\n")
    with pytest.raises(ValueError, match="no place"):
        markdown.replace_results(file, "new")
    assert file.read_text() == "# Method\n"


def test_the_documentation_has_a_place_for_the_summary() -> None:
    documentation = Path(__file__).parent.parent.parent / "docs" / "performance.md"
    before = documentation.read_text(encoding="utf-8").partition("<!-- end of results -->")[0]
    pages = re.findall(r"\(\.\./bench/results/(.+?)\)", before)
    assert pages and all((markdown.RESULTS / page).is_file() for page in pages)
