"""The formats of a run: text, Markdown, the HTML page, the picture."""

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from bench import markdown, report, tables, targets
from bench.results import Document, Record, Results
from bench.targets import Target
from tests.bench.example_run import NET, document


@pytest.fixture
def results() -> Results:
    return Results(document())


@pytest.fixture
def evaluated(results: Results) -> list[Target]:
    return targets.evaluate(results)


def test_table_has_medians_ratios_and_targets(results: Results, evaluated: list[Target]) -> None:
    text = tables.text(results, evaluated)
    assert "8.00 (8.00–8.00)" in text
    assert re.search(r"one TCP flow up, throughput .* 2\.00 \(2\.00–2\.00\)", text)
    assert text.count("pass  ") == len(evaluated)
    assert "gotatun              left out: cargo, which builds it" in text


def test_table_marks_a_missed_target(results: Results) -> None:
    slow = Results(document(changes={"rtt-idle pyfw p50_us": 999}))
    text = tables.text(slow, targets.evaluate(slow))
    assert "FAIL  pyfw (ipsec-mb): ping, idle, delay, over boringtun: 12.49" in text


def test_losses_name_their_layer() -> None:
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


def test_failed_measure_is_listed_once_with_its_last_message() -> None:
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
    """Collects the tags of a page."""

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


def test_page_is_well_formed_and_fetches_nothing(results: Results, evaluated: list[Target]) -> None:
    page = report.page(results, evaluated)
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert tags.count["svg"] > 10
    assert not {name for name, _ in tags.attributes} & {"src", "href", "srcset"}
    assert "url(" not in page and "@import" not in page


def test_page_escapes_the_machine_name(results: Results, evaluated: list[Target]) -> None:
    page = report.page(results, evaluated)
    assert "Some CPU &lt;fast&gt;" in page
    assert "<fast>" not in page


def test_page_headline_compares_one_flow(results: Results, evaluated: list[Target]) -> None:
    assert (
        "One TCP flow through pyfw: 2.00 times as fast as Tailscale's fork, with 0.40 times its CPU"
        in report.page(results, evaluated)
    )


def test_chart_bars_are_proportional(results: Results) -> None:
    page = report.page(results, [])
    chart = page[page.index("one TCP flow up</h3>") :]
    lengths = [float(length) for length in re.findall(r'<rect[^>]* width="([\d.]+)"', chart)[:4]]
    # 8.0, 6.4, 16.0 and 4.0 Gbit/s.
    longest = max(lengths)
    assert [length / longest for length in lengths] == pytest.approx(
        [0.5, 0.4, 1.0, 0.25], abs=0.01
    )


def test_empty_run_gives_a_page() -> None:
    empty = Document(
        machine=document().machine,
        conditions=document().conditions,
        plan="quick",
        rounds=0,
        candidates=[],
    )
    results = Results(empty)
    evaluated = targets.evaluate(results)
    assert "Results" in report.page(results, evaluated)
    assert "not measured" in tables.text(results, evaluated)
    ElementTree.fromstring(report.picture(results))


def test_picture_is_an_svg_for_light_and_dark(results: Results) -> None:
    picture = report.picture(results)
    root = ElementTree.fromstring(picture)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "prefers-color-scheme: dark" in picture
    assert "Tailscale's fork" in "".join(root.itertext())


def test_summary_replaces_only_the_previous_one(
    tmp_path: Path, results: Results, evaluated: list[Target]
) -> None:
    file = tmp_path / "performance.md"
    begin = "<!-- results: written by python -m bench.tunnel --markdown -->"
    file.write_text(f"# Method\n\n{begin}\n\nold\n\n<!-- end of results -->\n\nbelow\n")
    for _ in range(2):
        markdown.replace_results(file, markdown.summary(results, evaluated))
    text = file.read_text()
    assert text.startswith("# Method\n") and text.endswith("\n\nbelow\n")
    assert "old" not in text
    assert text.count("one TCP flow up: throughput, Gbit/s | 8.00 | 6.40 | 4.00 |") == 1
    assert f"{len(evaluated)} targets, 0 missed" in text


def test_summary_is_one_table_with_a_link(results: Results, evaluated: list[Target]) -> None:
    summary = markdown.summary(results, evaluated)
    assert sum(line.startswith("| ---") for line in summary.splitlines()) == 1
    assert "cipher off" not in summary
    name = markdown.page_name(results)
    assert name == "2026-09-30.md"
    assert f"(../bench/results/{name})" in summary
    assert markdown.page(results, evaluated).count("\n## Targets\n") == 1


def test_file_without_marks_is_not_changed(tmp_path: Path) -> None:
    file = tmp_path / "performance.md"
    file.write_text("# Method\n")
    with pytest.raises(ValueError, match="needs the marks"):
        markdown.replace_results(file, "new")
    assert file.read_text() == "# Method\n"


def test_documentation_links_to_the_results() -> None:
    documentation = Path(__file__).parent.parent.parent / "docs" / "performance.md"
    before = documentation.read_text(encoding="utf-8").partition("<!-- end of results -->")[0]
    pages = re.findall(r"\(\.\./bench/results/(.+?)\)", before)
    assert pages and all((markdown.RESULTS / page).is_file() for page in pages)
