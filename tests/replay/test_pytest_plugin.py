"""The plugin in a repository of somebody else: what it collects, what it says, what it loads."""

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# The extension is replaced for these: what matters is what pytest makes of results.
CONFTEST = """
import pytest
from pyfw import _native
from tests.replay.fake_result import fake_replay

@pytest.fixture(autouse=True)
def nothing(): pass

_native.replay = fake_replay
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "c.pcap").write_bytes(b"")
        (folder / "case.replay.toml").write_text(f'why = "{name}"\ncapture = "c.pcap"\n')
    (tmp_path / "one" / "notes.toml").write_text("")
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


def run_pytest(repository: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    plain = {key: value for key, value in os.environ.items() if key not in ("CI", "NO_COLOR")}
    plain |= {"PYTHONPATH": str(ROOT), "PY_COLORS": "0"} | environment
    # As an entry point where pyfw is installed with it, else by name.
    points = importlib.metadata.entry_points(group="pytest11")
    named = [] if "pyfw-replay" in points.names else ["-p", "pyfw.replay.pytest_plugin"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *named, *arguments],
        cwd=repository,
        env=plain,
        capture_output=True,
        text=True,
        timeout=100,
    )
    return done.returncode, done.stdout + done.stderr


def test_every_case_is_one_test_and_nothing_else_is(repository: Path) -> None:
    status, output = run_pytest(repository, "--collect-only", "-q")
    assert status == 0
    assert re.findall(r".*::.*", output) == [
        "one/case.replay.toml::one",
        "two/case.replay.toml::two",
    ]


def test_a_case_passes_after_an_update_and_fails_with_a_diff_and_no_traceback(
    repository: Path,
) -> None:
    status, output = run_pytest(repository, "--replay-update", "-q")
    assert status == 0, output
    status, output = run_pytest(repository, "-q")
    assert (status, "2 passed" in output) == (0, True)
    expected = repository / "one" / "expected.json"
    expected.write_text(expected.read_text().replace("[1228, 834]", "[1228]", 1))
    status, output = run_pytest(repository, "-q")
    assert status == 1
    assert "one: batch 1 of client (flow 0): expected [1228], got [1228 834]" in output
    assert "Traceback" not in output
    assert "pytest_plugin.py" not in output
    status, output = run_pytest(repository, "-q", "--lf")
    assert "1 failed" in output
    assert "passed" not in output


def test_k_chooses_by_name(repository: Path) -> None:
    run_pytest(repository, "--replay-update")
    status, output = run_pytest(repository, "-k", "two")
    assert (status, "1 passed, 1 deselected" in output) == (0, True)


def test_workers_share_the_cases(repository: Path) -> None:
    pytest.importorskip("xdist")
    run_pytest(repository, "--replay-update")
    status, output = run_pytest(repository, "-n", "2", "-q")
    assert (status, "2 passed" in output) == (0, True)


def test_a_case_that_is_wrong_fails_beside_the_others(repository: Path) -> None:
    run_pytest(repository, "--replay-update")
    (repository / "one" / "case.replay.toml").write_text('why = "w"\ncapture = "none"\n')
    status, output = run_pytest(repository, "-q")
    assert status == 1
    assert "1 failed, 1 passed" in output
    assert "capture: there is no such file" in output


def test_an_update_is_refused_in_ci(repository: Path) -> None:
    status, output = run_pytest(repository, "--replay-update", CI="true")
    assert status == pytest.ExitCode.USAGE_ERROR
    assert "refused" in output
    assert not (repository / "one" / "expected.json").exists()


def test_the_plugin_loads_nothing_until_a_case_runs() -> None:
    script = "import sys, pyfw.replay.pytest_plugin; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    loaded = set(done.stdout.split())
    assert not {"pyfw._native", "pyfw.replay.runner", "scapy", "numpy", "msgspec"} & loaded


def test_a_run_without_cases_loads_nothing_either(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import sys\n\n"
        "def test_it():\n"
        "    assert 'pyfw.replay.pytest_plugin' in sys.modules\n"
        "    assert not {'pyfw._native', 'scapy', 'numpy', 'msgspec'} & set(sys.modules)\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    status, output = run_pytest(tmp_path, "-q")
    assert status == 0, output
