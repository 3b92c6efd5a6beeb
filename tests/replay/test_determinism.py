"""The same input gives the same bytes: in every run, and in one process or two."""

import subprocess
import sys
from pathlib import Path

import pytest

from pyfw.replay.collect import collect_file
from pyfw.replay.runner import Task, run

ROOT = Path(__file__).parents[2]
# Impairments, events, several destinations, super-packets: whatever might depend on chance.
CASES = (
    "udp_ingress/everything-at-once",
    "decrypt/forged-and-replayed",
    "encrypt/rekey-under-load",
    "route/bursts-to-three-clients",
    "tun_ingress/super-packets-of-tso",
)


@pytest.mark.parametrize(
    "paths",
    [
        pytest.param([f"pcaps/{case}" for case in CASES], id="some"),
        pytest.param(["pcaps"], id="all", marks=pytest.mark.long),
    ],
)
def test_outputs_are_equal_with_one_and_two_processes(paths: list[str], tmp_path: Path) -> None:
    for jobs in ("1", "2"):
        to_json, to_junit = tmp_path / f"{jobs}.json", tmp_path / f"{jobs}.xml"
        pyfw = Path(sys.executable).with_name("pyfw")
        command: list[str | Path] = [pyfw, "replay", "-q", *paths, "-n", jobs]
        command += ["--json", to_json, "--junitxml", to_junit]
        subprocess.run(command, cwd=ROOT, check=True, timeout=100)
    for suffix in ("json", "xml"):
        first, second = (tmp_path / f"{jobs}.{suffix}" for jobs in ("1", "2"))
        assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("name", CASES)
def test_two_runs_write_equal_pcapng_files(name: str, tmp_path: Path) -> None:
    collected = collect_file(ROOT / "pcaps" / name / "case.replay.toml")
    files = [tmp_path / "first.pcapng", tmp_path / "second.pcapng"]
    for file in files:
        run(Task(name=name, case=collected.case, rule="ordered", write=str(file), secrets=True))
    assert files[0].read_bytes() == files[1].read_bytes()
