"""`pyfw replay`: what it ends with, what it writes, what it refuses. The extension is replaced."""

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
from tests.replay.fake_result import fake_replay, seed_result

CASE = 'why = "the seed"\ncapture = "c.pcap"\n'


@pytest.fixture(autouse=True)
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "pcaps" / "seed"
    folder.mkdir(parents=True)
    (folder / "c.pcap").write_bytes(b"")
    (folder / "case.replay.toml").write_text(CASE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(_native, "replay", fake_replay, raising=False)
    return tmp_path


def pyfw(*arguments: str) -> Result:
    return CliRunner().invoke(group, ["replay", *arguments])


def expected() -> Path:
    return Path("pcaps/seed/expected.json")


def test_an_update_writes_what_then_passes() -> None:
    assert pyfw("pcaps").exit_code == 1
    written = pyfw("pcaps", "--update")
    assert written.output == (
        "updated pcaps/seed\npcaps/seed: expected.json: new\n1 case: 1 updated\n"
    )
    assert written.exit_code == 0
    passed = pyfw("pcaps")
    assert (passed.output, passed.exit_code) == ("passed  pcaps/seed\n1 case: 1 passed\n", 0)
    assert pyfw("pcaps", "--update").output == "passed  pcaps/seed\n1 case: 1 passed\n"


def test_a_changed_expectation_fails_with_case_flow_and_batch() -> None:
    pyfw("pcaps", "--update")
    expected().write_text(expected().read_text().replace("[1228, 834]", "[1228, 835]", 1))
    failed = pyfw("pcaps", "-q")
    assert failed.output == (
        "failed  pcaps/seed\n"
        "pcaps/seed: batch 1 of client (flow 0): expected [1228 835], got [1228 834]\n"
        "1 case: 1 failed\n"
    )
    assert failed.exit_code == 1
    updated = pyfw("pcaps", "--update")
    assert "expected [1228 835], got [1228 834]" in updated.output


@pytest.mark.parametrize("how", ["--ci", "environment"])
def test_an_update_is_refused_in_ci(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "environment":
        monkeypatch.setenv("CI", "true")
        result = pyfw("pcaps", "--update")
    else:
        result = pyfw("pcaps", "--update", "--ci")
    assert result.exit_code == 2
    assert "refused" in result.output
    assert not expected().exists()


def test_only_the_cases_own_rule_is_compared_others_stand_beside() -> None:
    pyfw("pcaps", "--update")
    result = pyfw("pcaps", "--rule", "by-size", "--rule", "ordered")
    assert result.exit_code == 0
    assert "out of order: 1 of 1 flows, 5 early and 4 late of 10 segments" in result.output
    assert result.output.endswith("2 replays of 1 case: 1 passed, 1 shown\n")


def test_an_option_that_changes_the_outcome_leaves_the_expectation_alone() -> None:
    pyfw("pcaps", "--update")
    result = pyfw("pcaps", "--loss", "0.1")
    assert (result.exit_code, "1 shown" in result.output) == (0, True)


def test_a_bare_capture_is_judged_and_ends_with_0() -> None:
    result = pyfw("pcaps/seed/c.pcap")
    assert result.exit_code == 0
    assert "in order: 1 flow, 10 segments" in result.output
    assert result.output.endswith("1 replay: 1 shown\n")


def test_a_corrupt_capture_ends_with_2_and_shows_what_stood_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def corrupt(plan: dict[str, Any], progress: object = None) -> dict[str, Any]:
        return seed_result() | {"error": {"offset": 99, "text": "the record is cut"}}

    monkeypatch.setattr(_native, "replay", corrupt, raising=False)
    result = pyfw("pcaps/seed/c.pcap")
    assert result.exit_code == 2
    assert (
        "corrupt capture at byte 99: the record is cut; the 10 packets before it" in result.output
    )
    assert "in order: 1 flow" in result.output
    # A case may expect just that.
    assert pyfw("pcaps", "--update").exit_code == 0
    assert pyfw("pcaps").exit_code == 0


@pytest.mark.parametrize("error", [ValueError("mtu is odd"), OSError(13, "Permission denied")])
def test_what_the_extension_refuses_ends_with_2(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(plan: object, progress: object = None) -> None:
        raise error

    monkeypatch.setattr(_native, "replay", refuse, raising=False)
    result = pyfw("pcaps/seed/c.pcap")
    assert result.exit_code == 2
    assert ("mtu is odd" in result.output) or ("Permission denied" in result.output)


def test_a_case_that_is_wrong_ends_with_2_and_the_others_run() -> None:
    pyfw("pcaps", "--update")
    other = Path("pcaps/other")
    other.mkdir()
    (other / "case.replay.toml").write_text("mtuu = 3\n")
    result = pyfw("pcaps")
    assert result.exit_code == 2
    assert "no such key in a case; did you mean mtu?" in result.output
    assert result.output.endswith("2 cases: 1 passed, 1 broken\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere: No such file"),
        (["pcaps", "--rule", "by-luck"], "by-luck"),
        (["pcaps", "--loss", "2"], "--loss: 2.0 is not a number from 0 to 1"),
        (["pcaps", "-k", "(a"], "a bracket is not closed"),
        (["pcaps", "-n", "0"], "neither a number of processes nor auto"),
        (["pcaps", "--client", "nobody"], "nobody"),
        (["pcaps", "--secrets"], "needs -w"),
        (["pcaps", "-w", "x", "--rule", "ordered", "--rule", "by-ecn"], "one replay at a time"),
        (["pcaps/seed/c.pcap", "-w", "pcaps/seed/c.pcap"], "is a capture that is read"),
        (["pcaps", "--update", "--mtu", "1280"], "from the cases as they stand"),
        (["-", "--rule", "ordered", "--rule", "by-ecn"], "can be read once"),
    ],
)
def test_usage_that_is_wrong_ends_with_2(arguments: list[str], said: str) -> None:
    result = pyfw(*arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_json_on_standard_output_is_alone_there() -> None:
    result = pyfw("pcaps", "--update")
    result = pyfw("pcaps", "--json", "-")
    assert json.loads(result.stdout)["counts"] == {"passed": 1}
    assert result.stderr.endswith("1 case: 1 passed\n")


def test_files_are_written_on_request() -> None:
    pyfw("pcaps", "--update")
    result = pyfw("pcaps", "--json", "o.json", "--junitxml", "o.xml", "--html", "o.html")
    assert result.exit_code == 0
    assert json.loads(Path("o.json").read_text())["runs"][0]["status"] == "passed"
    assert "<testsuite " in Path("o.xml").read_text()
    assert "<html" in Path("o.html").read_text()


def test_only_reports_ask_for_the_single_batches_of_a_capture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: list[int] = []

    def remember(plan: dict[str, Any], progress: object = None) -> dict[str, Any]:
        kept.append(plan["keep"])
        return seed_result()

    monkeypatch.setattr(_native, "replay", remember, raising=False)
    pyfw("pcaps/seed/c.pcap")
    pyfw("pcaps/seed/c.pcap", "--json", "o.json")
    assert kept == [0, 10_000]


def test_k_leaves_what_it_names() -> None:
    pyfw("pcaps", "--update")
    assert pyfw("pcaps", "-k", "seed").exit_code == 0
    nothing = pyfw("pcaps", "-k", "tso")
    assert (nothing.exit_code, nothing.output) == (2, "0 cases: 1 deselected\n")


def test_help_loads_neither_the_extension_nor_the_cases() -> None:
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
