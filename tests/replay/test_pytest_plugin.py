"""The pytest plugin in another repository: what it collects, reports and imports."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# pytester forgets modules that its runs import, and an extension cannot be imported twice.
import pyfw._native
import pyfw.replay.collect
import pyfw.replay.runner  # noqa: F401
from tests.replay.packets import flows, write_pcap

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def repository(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("CI", raising=False)
    for name in ("one", "two"):
        folder = pytester.mkdir(name)
        write_pcap(folder / "c.pcap", flows([(0, 1228, 0, 0), (0, 834, 0, 1)]))
        (folder / "case.replay.toml").write_text(f'why = "{name}"\ncapture = "c.pcap"\n')
    (pytester.path / "one" / "notes.toml").write_text("")
    pytester.makeini("[pytest]\n")
    return pytester.path


def test_every_case_is_one_test(pytester: pytest.Pytester, repository: Path) -> None:
    items, _ = pytester.inline_genitems()
    assert [item.nodeid for item in items] == [
        "one/case.replay.toml::one",
        "two/case.replay.toml::two",
    ]


def test_a_case_passes_after_an_update(pytester: pytest.Pytester, repository: Path) -> None:
    pytester.runpytest_inprocess("--replay-update").assert_outcomes(passed=2)
    pytester.runpytest_inprocess().assert_outcomes(passed=2)
    pytester.runpytest_inprocess("-k", "two").assert_outcomes(passed=1, deselected=1)
    pytester.runpytest_inprocess("-n", "2").assert_outcomes(passed=2)


def test_a_difference_fails_without_traceback(pytester: pytest.Pytester, repository: Path) -> None:
    pytester.runpytest_inprocess("--replay-update")
    expected = repository / "one" / "expected.json"
    expected.write_text(expected.read_text().replace("[1228, 834]", "[1228]", 1))
    done = pytester.runpytest_inprocess()
    done.assert_outcomes(passed=1, failed=1)
    line = "one: batch 1 of client (flow 0): expected [1228], got [1228 834]"
    assert line in done.stdout.str()
    done.stdout.no_fnmatch_line("*Traceback*")
    done.stdout.no_fnmatch_line("*pytest_plugin.py*")
    pytester.runpytest_inprocess("--lf").assert_outcomes(failed=1)


def test_an_invalid_case_fails_alone(pytester: pytest.Pytester, repository: Path) -> None:
    pytester.runpytest_inprocess("--replay-update")
    (repository / "one" / "case.replay.toml").write_text('why = "w"\ncapture = "none"\n')
    done = pytester.runpytest_inprocess()
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(["*capture: no such file: *"])


def test_an_update_is_refused_in_ci(
    pytester: pytest.Pytester, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    done = pytester.runpytest_inprocess("--replay-update")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*refused because CI is set"])
    assert not (repository / "one" / "expected.json").exists()


def test_a_run_without_cases_imports_little(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import sys\n\n"
        "def test_it():\n"
        "    assert 'pyfw.replay.pytest_plugin' in sys.modules\n"
        "    heavy = {'pyfw._native', 'pyfw.replay.runner', 'scapy', 'numpy', 'msgspec'}\n"
        "    assert not heavy & set(sys.modules)\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
