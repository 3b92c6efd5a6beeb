"""`pyfw replay`: exit status, output files and usage errors. The extension is replaced by a fake."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pyfw import _native
from pyfw.cli.group import group
from pyfw.replay.case import Case
from tests.replay.results import fake_replay, result

CASE = 'why = "the seed"\ncapture = "c.pcap"\n'


@pytest.fixture(autouse=True)
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "pcaps" / "seed"
    folder.mkdir(parents=True)
    (folder / "c.pcap").write_bytes(b"")
    (folder / "case.replay.toml").write_text(CASE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(_native, "replay", fake_replay)
    return tmp_path


def pyfw(*arguments: str) -> Result:
    return CliRunner().invoke(group, ["replay", *arguments])


def expected() -> Path:
    return Path("pcaps/seed/expected.json")


def test_an_update_writes_the_expectation() -> None:
    assert pyfw("pcaps").exit_code == 1
    written = pyfw("pcaps", "--update")
    assert written.output == (
        "updated pcaps/seed\npcaps/seed: expected.json: new\n1 case: 1 updated\n"
    )
    assert written.exit_code == 0
    passed = pyfw("pcaps")
    assert (passed.output, passed.exit_code) == ("passed  pcaps/seed\n1 case: 1 passed\n", 0)
    assert pyfw("pcaps", "--update").output == "passed  pcaps/seed\n1 case: 1 passed\n"


def test_a_changed_expectation_fails_with_case_and_batch() -> None:
    pyfw("pcaps", "--update")
    expected().write_text(expected().read_text().replace("[1228, 834]", "[1228, 835]", 1))
    failed = pyfw("pcaps", "-q")
    assert failed.output == (
        "failed  pcaps/seed\n"
        "pcaps/seed: batch 1 of gateway (flow 0): expected [1228 835], got [1228 834]\n"
        "1 case: 1 failed\n"
    )
    assert failed.exit_code == 1
    updated = pyfw("pcaps", "--update")
    assert "expected [1228 835], got [1228 834]" in updated.output


@pytest.mark.parametrize("how", ["--ci", "environment"])
def test_an_update_is_refused_in_ci(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "environment":
        monkeypatch.setenv("CI", "true")
        done = pyfw("pcaps", "--update")
    else:
        done = pyfw("pcaps", "--update", "--ci")
    assert done.exit_code == 2
    assert "refused" in done.output
    assert not expected().exists()


def test_only_the_rule_of_the_case_is_compared() -> None:
    pyfw("pcaps", "--update")
    done = pyfw("pcaps", "--rule", "by-size", "--rule", "ordered")
    assert done.exit_code == 0
    assert "out of order: 1 of 1 flows, 6 early and 4 late of 10 segments" in done.output
    assert done.output.endswith("2 replays of 1 case: 1 passed, 1 shown\n")


def test_options_that_change_the_result_skip_the_comparison() -> None:
    pyfw("pcaps", "--update")
    done = pyfw("pcaps", "--loss", "0.1")
    assert (done.exit_code, "1 shown" in done.output) == (0, True)


def test_a_bare_capture_is_checked_and_exits_with_0() -> None:
    done = pyfw("pcaps/seed/c.pcap")
    assert done.exit_code == 0
    assert "in order: 1 flow, 10 segments" in done.output
    assert done.output.endswith("1 replay: 1 shown\n")


def test_a_corrupt_capture_exits_with_2_after_its_packets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def corrupt(case: Case, **_options: object) -> dict[str, Any]:
        return result() | {"error": {"offset": 99, "text": "the record is cut"}}

    monkeypatch.setattr(_native, "replay", corrupt)
    done = pyfw("pcaps/seed/c.pcap")
    assert done.exit_code == 2
    assert "corrupt capture at byte 99: the record is cut; the 10 packets before it" in done.output
    assert "in order: 1 flow" in done.output
    # A case may expect the error.
    assert pyfw("pcaps", "--update").exit_code == 0
    assert pyfw("pcaps").exit_code == 0


@pytest.mark.parametrize("error", [ValueError("mtu is odd"), OSError(13, "Permission denied")])
def test_an_error_of_the_extension_exits_with_2(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(case: Case, **_options: object) -> None:
        raise error

    monkeypatch.setattr(_native, "replay", refuse)
    done = pyfw("pcaps/seed/c.pcap")
    assert done.exit_code == 2
    assert ("mtu is odd" in done.output) or ("Permission denied" in done.output)


def test_an_invalid_case_exits_with_2_and_the_others_run() -> None:
    pyfw("pcaps", "--update")
    other = Path("pcaps/other")
    other.mkdir()
    (other / "case.replay.toml").write_text("mtuu = 3\n")
    done = pyfw("pcaps")
    assert done.exit_code == 2
    assert "no such key in a case; did you mean mtu?" in done.output
    assert done.output.endswith("2 cases: 1 passed, 1 broken\n")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["nowhere"], "nowhere: No such file"),
        (["pcaps", "--rule", "by-luck"], "by-luck"),
        (["pcaps", "--loss", "2"], "--loss: 2.0 is not a number from 0 to 1"),
        (["pcaps", "-k", "(a"], 'missing ")"'),
        (["pcaps", "-n", "0"], "neither a number of processes nor auto"),
        (["pcaps", "--client", "nobody"], "nobody"),
        (["pcaps", "--secrets"], "--secrets needs -w"),
        (["pcaps", "-w", "x", "--rule", "ordered", "--rule", "by-ecn"], "takes one replay"),
        (["pcaps/seed/c.pcap", "-w", "pcaps/seed/c.pcap"], "is one of the captures to read"),
        (["pcaps", "--update", "--mtu", "1280"], "remove the options that change"),
        (["-", "--rule", "ordered", "--rule", "by-ecn"], "can be read only once"),
    ],
)
def test_usage_errors_exit_with_2(arguments: list[str], error: str) -> None:
    done = pyfw(*arguments)
    assert done.exit_code == 2
    assert error in done.output


def test_json_on_standard_output_has_no_other_text() -> None:
    done = pyfw("pcaps", "--update")
    done = pyfw("pcaps", "--json", "-")
    assert json.loads(done.stdout)["counts"] == {"passed": 1}
    assert done.stderr.endswith("1 case: 1 passed\n")


def test_files_are_written_on_request() -> None:
    pyfw("pcaps", "--update")
    done = pyfw("pcaps", "--json", "o.json", "--junitxml", "o.xml", "--html", "o.html")
    assert done.exit_code == 0
    assert json.loads(Path("o.json").read_text())["runs"][0]["status"] == "passed"
    assert "<testsuite " in Path("o.xml").read_text()
    assert "<html" in Path("o.html").read_text()


def test_only_reports_keep_the_batches_of_a_capture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits: list[int] = []

    def remember(case: Case, **_options: object) -> dict[str, Any]:
        limits.append(case.keep)
        return result()

    monkeypatch.setattr(_native, "replay", remember)
    pyfw("pcaps/seed/c.pcap")
    pyfw("pcaps/seed/c.pcap", "--json", "o.json")
    assert limits == [0, 10_000]


def test_k_selects_cases_by_name() -> None:
    pyfw("pcaps", "--update")
    assert pyfw("pcaps", "-k", "seed").exit_code == 0
    nothing = pyfw("pcaps", "-k", "tso")
    assert (nothing.exit_code, nothing.output) == (2, "0 cases: 1 deselected\n")


def test_help_loads_no_heavy_modules() -> None:
    script = "import sys, pyfw.cli.replay; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert not {"pyfw._native", "msgspec", "scapy", "numpy"} & set(done.stdout.split())
