"""Stages in a replay: loading, counters, comparison and failures."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner, Result
from scapy.utils import PcapNgReader

from pyfw.cli.group import group
from tests.replay.packets import udp, write_pcap

ROOT = Path(__file__).parents[2]

# Drops every other packet to the server.
HALVES = """
import pyfw

class Halves(pyfw.Stage):
    direction = "inbound"
    filter = {"protocol": "udp", "dst_port": 443}

    def start(self):
        self.number = 0

    def process(self, batch):
        for i in range(len(batch)):
            if self.number % 2:
                batch.drop(i, "odd")
            self.number += 1
        self.count("seen", len(batch))
"""
RAISES = """
import pyfw

class Raises(pyfw.Stage):
    def process(self, batch):
        raise ValueError("no")
"""
CASE = """
why = "stages are part of a case"
capture = "c.pcap"

[[stages]]
use = "halves.py:Halves"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    packets = [(i * 200, udp(1000, bytes(100), number=i)) for i in range(10)]
    case = tmp_path / "case"
    case.mkdir()
    write_pcap(case / "c.pcap", packets)
    (case / "halves.py").write_text(HALVES)
    (case / "raises.py").write_text(RAISES)
    (case / "case.replay.toml").write_text(CASE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CI", raising=False)
    yield case
    structlog.reset_defaults()  # the command configures logs


def pyfw(*arguments: str) -> Result:
    return CliRunner().invoke(group, ["replay", *arguments])


def result_of(*arguments: str) -> dict[str, Any]:
    done = pyfw("--json", "-", *arguments)
    (run,) = json.loads(done.stdout)["runs"]
    result: dict[str, Any] = run["result"]
    return result


def counters_of(end: str, *arguments: str) -> dict[str, Any]:
    stages: dict[str, Any] = result_of(*arguments)["ends"][end]["stages"]
    return stages


def test_stage_counters_are_part_of_the_expectation(folder: Path) -> None:
    assert pyfw("case", "--update").exit_code == 0
    expected = json.loads((folder / "expected.json").read_text())
    counters = {
        name: count
        for name, count in expected["ends"]["gateway"]["counters"].items()
        if name.startswith("stages.")
    }
    assert counters == {
        "stages.Halves.drops.odd": 5,
        "stages.Halves.frames": 10,
        "stages.Halves.own.seen": 10,
        "stages.Halves.segments": 10,
    }
    assert expected["ends"]["gateway"]["counters"]["inbound.drops.stage"] == 5
    assert pyfw("case").output == "passed  case\n1 case: 1 passed\n"
    (folder / "halves.py").write_text(HALVES.replace("% 2:", "% 3:"))
    failed = pyfw("case")
    assert failed.exit_code == 1
    line = "case: counter of gateway: stages.Halves.drops.odd: expected 5, got 6"
    assert line in failed.output.splitlines()


def test_an_option_adds_a_stage_to_a_capture() -> None:
    done = pyfw("--stage", "case/halves.py:Halves?name=half", "case/c.pcap")
    assert done.exit_code == 0
    assert "    stage half at gateway: 10 frames, 10 segments" in done.output.splitlines()
    assert "           dropped odd 5" in done.output.splitlines()


def test_added_stages_run_after_those_of_the_case() -> None:
    spec = "case/halves.py:Halves?direction=outbound"
    assert counters_of("client", "--stage", spec, "--stage-end", "client", "case/c.pcap") == {
        "Halves": {
            "created": 0,
            "drops": {"odd": 5},
            "failures": 0,
            "frames": 10,
            "held_segments": 0,
            "own": {"seen": 10},
            "segments": 10,
        }
    }
    both = counters_of("gateway", "--stage", "case/halves.py:Halves?name=second", "case")
    assert [(name, counts["frames"]) for name, counts in both.items()] == [
        ("Halves", 10),
        ("second", 5),
    ]


def test_an_added_stage_skips_the_comparison() -> None:
    pyfw("case", "--update")
    assert "1 replay: 1 shown" in pyfw("--stage", "impair", "case").output
    refused = pyfw("--stage", "impair", "--update", "case")
    assert refused.exit_code == 2
    assert "--update" in refused.output


def test_stages_give_equal_json_with_one_and_two_processes() -> None:
    spec = "impair?loss=0.3&jitter_ms=1&duplicate=0.3&seed=5"
    arguments = ["--stage", spec, "--rule", "ordered", "--rule", "by-size", "case/c.pcap"]
    outputs = [pyfw("--json", "-", "-n", jobs, *arguments).stdout for jobs in ("1", "2")]
    assert len(set(outputs)) == 1
    assert '"lost": ' in outputs[0]
    assert pyfw("--json", "-", *arguments[:1], f"{spec}1", *arguments[2:]).stdout != outputs[0]


def test_a_tap_writes_equal_files(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.pcapng", "b.pcapng")]
    for file in files:
        assert pyfw("--stage", f"tap?file={file}&count=7", "case/c.pcap").exit_code == 0
    assert files[0].read_bytes() == files[1].read_bytes()
    with PcapNgReader(str(files[0])) as reader:
        assert len(list(reader)) == 7


def test_a_delay_stage_delays_in_virtual_time() -> None:
    before = result_of("case/c.pcap")
    after = result_of("--stage", "impair?delay_ms=50", "case/c.pcap")
    assert after["flows"][0]["delivered"] == before["flows"][0]["delivered"] == 10
    assert after["duration_ns"] >= before["duration_ns"] + 50_000_000


def test_a_stage_that_raises_fails_with_its_traceback() -> None:
    done = pyfw("--stage", "case/raises.py:Raises", "case/c.pcap")
    assert done.exit_code == 1
    assert "stage Raises at gateway failed in 10 of 10 calls; the first:" in done.output
    assert 'raises.py", line 6, in process' in done.output
    assert done.output.count("Traceback") == 1


def test_a_failed_case_shows_the_traceback_of_its_stage(folder: Path) -> None:
    pyfw("case", "--update")
    (folder / "halves.py").write_text(HALVES.replace("% 2:", "% 0:"))
    done = pyfw("-v", "case")
    assert done.exit_code == 1
    assert "ZeroDivisionError" in done.output


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--stage", "a:b:c"], 'pyfw: --stage a:b:c: use: "a:b:c" names no stage'),
        (["--stage", "tap?file"], "pyfw: --stage tap?file: file: has no value"),
        (["--stage-end", "client"], "pyfw: --stage-end needs --stage"),
        (["--stage", "imapir"], "offers a stage imapir; did you mean impair?"),
        (["--stage", "impair?los=1"], "options.los: no such key in the options of Impair; did you"),
        (["--stage", "case/absent.py:X"], "there is no such file: case/absent.py"),
        (
            ["--stage", "impair", "--stage-end", "nobody"],
            "stages at nobody: no such end; the ends are gateway, client",
        ),
        (
            ["--stage", "tap?file=absent/a.pcapng"],
            "Tap cannot start: FileNotFoundError: ",
        ),
    ],
)
def test_a_stage_that_cannot_be_loaded_exits_with_2(arguments: list[str], error: str) -> None:
    done = pyfw(*arguments, "case/c.pcap")
    assert done.exit_code == 2
    assert error in done.output
    assert "Traceback" not in done.output


def test_an_invalid_stage_is_an_error_with_its_line(folder: Path) -> None:
    (folder / "halves.py").write_text("import pyfw\n\nclass Halves(pyfw.Stage:\n")
    done = pyfw("case")
    assert done.exit_code == 2
    assert "case/halves.py:3: halves.py cannot be imported: SyntaxError: " in done.output
    (folder / "case.replay.toml").write_text(CASE.replace("halves.py", "absent.py"))
    done = pyfw("case")
    assert "case/case.replay.toml:6: stages[0].use: there is no such file" in done.output


def test_the_examples_run_on_a_real_capture() -> None:
    capture = ROOT / "pcaps" / "real" / "dns-lookups" / "capture.pcap"
    stages = [
        f"{ROOT}/examples/no_telnet.py:NoTelnet",
        f"{ROOT}/examples/dns_log.py:DnsLog?file=names.jsonl",
        f"{ROOT}/examples/refuse.py:Refuse",
    ]
    options = [word for stage in stages for word in ("--stage", stage)]
    counters = counters_of("gateway", *options, str(capture))
    assert counters["DnsLog"]["own"]["questions"] > 0
    assert (
        len(Path("names.jsonl").read_text().splitlines()) == counters["DnsLog"]["own"]["questions"]
    )
    assert [counts["failures"] for counts in counters.values()] == [0, 0, 0]
