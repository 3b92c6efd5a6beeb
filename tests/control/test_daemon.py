"""The daemon from start to end, over a real TUN, rtnetlink and a socket; only the engine is fake."""

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("daemon_in_namespace.py")


@cache
def unshare() -> list[str] | None:
    flags = ["--net"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--net"]
    command = ["unshare", *flags]
    if shutil.which("unshare") is None or not Path("/dev/net/tun").exists():
        return None
    works = subprocess.run([*command, "true"], capture_output=True).returncode == 0
    return command if works else None


pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(unshare() is None, reason="no network namespace or no /dev/net/tun here"),
]


def run(scenario: str, directory: Path) -> dict[str, Any]:
    done = subprocess.run(
        [*(unshare() or ()), sys.executable, SCRIPT, scenario, directory],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parents[2])},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def test_addresses_mtu_and_routes_are_those_of_the_file(tmp_path: Path) -> None:
    said = run("plain", tmp_path)
    assert said["seen"] == {
        "mtu": 1320,  # of the way to the peer, 1400, less 80
        "addresses": ["10.9.0.1"],
        "routes": [["10.9.0.0/24", "main"], ["10.20.0.0/16", "main"]],
        "rules": [],
        "mark": 0,
    }
    assert (said["status"], said["closed"], said["sockets_left"]) == (0, True, [])


def test_a_default_route_goes_around_our_own_datagrams_and_is_undone(tmp_path: Path) -> None:
    said = run("default", tmp_path)
    seen = said["seen"]
    assert seen["rules"] == [[32764, "main"], [32765, "51820"]]
    assert ["default", "51820"] in seen["routes"]
    assert seen["mark"] == 51820
    assert said["rules_left"] == []


def test_a_reload_changes_what_changed_and_a_bad_file_nothing(tmp_path: Path) -> None:
    seen = run("reload", tmp_path)["seen"]
    assert seen["before"]["addresses"] == ["10.9.0.1"]
    assert seen["after"]["addresses"] == ["10.9.0.2"]
    assert ["10.30.0.0/16", "main"] in seen["after"]["routes"]
    assert ["10.20.0.0/16", "main"] not in seen["after"]["routes"]
    assert seen["refused"]
    assert seen["unchanged"]


@pytest.mark.parametrize(
    ("what", "status"),
    [("link deleted", 0), ("socket deleted", 0), ("signal", 0), ("mtu", 0), ("panic", 70)],
)
def test_the_daemon_ends_in_order_when(tmp_path: Path, what: str, status: int) -> None:
    said = run(what, tmp_path)
    assert (said["status"], said["closed"], said["sockets_left"]) == (status, True, [])
