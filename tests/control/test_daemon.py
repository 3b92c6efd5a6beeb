"""Daemon, from start to end, over a real TUN, rtnetlink and a socket. Only the engine is fake."""

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
SCENARIOS = (
    "plain",
    "default route",
    "reload",
    "mtu changed",
    "link deleted",
    "socket deleted",
    "signal",
    "panic",
)


@cache
def unshare() -> list[str] | None:
    """Returns the command that runs another one in a network namespace, or None if that is impossible."""
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


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The results of all scenarios, in one process: most of the time is spent on its start."""
    directory = tmp_path_factory.mktemp("daemon")
    done = subprocess.run(
        [*(unshare() or ()), sys.executable, SCRIPT, directory, *SCENARIOS],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parents[2])},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_addresses_mtu_and_routes_are_set(results: dict[str, Any]) -> None:
    assert results["plain"]["seen"] == {
        "mtu": 1320,  # of the route to the peer, 1400, minus 80
        "addresses": ["10.9.0.1"],
        "routes": [["10.9.0.0/24", "main"], ["10.20.0.0/16", "main"]],
        "rules": [],
        "mark": 0,
    }


def test_a_default_route_gets_rules_and_a_mark(results: dict[str, Any]) -> None:
    seen = results["default route"]["seen"]
    assert seen["rules"] == [[32764, "main"], [32765, "51820"]]
    assert ["default", "51820"] in seen["routes"]
    assert seen["mark"] == 51820


def test_a_reload_applies_changes_but_no_broken_file(results: dict[str, Any]) -> None:
    seen = results["reload"]["seen"]
    assert seen["before"]["addresses"] == ["10.9.0.1"]
    assert seen["after"]["addresses"] == ["10.9.0.2"]
    assert ["10.30.0.0/16", "main"] in seen["after"]["routes"]
    assert ["10.20.0.0/16", "main"] not in seen["after"]["routes"]
    assert seen["unchanged by errors"]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_nothing_is_left_at_the_end(results: dict[str, Any], scenario: str) -> None:
    result = results[scenario]
    assert result["status"] == (70 if scenario == "panic" else 0)
    assert result["engine closed"]
    assert (result["rules left"], result["sockets left"]) == (0, [])
