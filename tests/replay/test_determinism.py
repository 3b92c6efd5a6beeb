"""The same input gives the same bytes: twice, and on one process and on two."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Impairments, events, several destinations, super-packets: whatever could depend on chance.
CASES = (
    "udp_ingress/everything-at-once",
    "decrypt/forged-and-replayed",
    "encrypt/rekey-under-load",
    "route/bursts-to-three-clients",
    "tun_ingress/super-packets-of-tso",
)


def replay(*arguments: str | Path) -> None:
    command = [Path(sys.executable).with_name("pyfw"), "replay", "-q", *arguments]
    subprocess.run(command, cwd=ROOT, check=True, timeout=100)


def test_all_cases_give_one_json_and_one_junit_on_one_and_on_two_processes(tmp_path: Path) -> None:
    for jobs in ("1", "2"):
        to_json, to_junit = tmp_path / f"{jobs}.json", tmp_path / f"{jobs}.xml"
        replay("pcaps", "-n", jobs, "--json", to_json, "--junitxml", to_junit)
    for suffix in ("json", "xml"):
        first, second = (tmp_path / f"{jobs}.{suffix}" for jobs in ("1", "2"))
        assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("case", CASES)
def test_a_case_gives_one_record(case: str, tmp_path: Path) -> None:
    files = [tmp_path / "first.pcapng", tmp_path / "second.pcapng"]
    for file in files:
        replay(f"pcaps/{case}", "-w", file, "--secrets")
    assert files[0].read_bytes() == files[1].read_bytes()
