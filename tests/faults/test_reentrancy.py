"""Stages that call methods of their own tunnel: the call works or raises, and never deadlocks."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from lab import Network, unavailable
from lab.counter_checks import imbalances
from pyfw.demo.daemon_counters import late

_SCRIPT = str(Path(__file__).with_name("reentrant.py"))
_REJECTED = ("close", "set_stages")


@pytest.fixture(scope="module", params=[1, 2], ids=["one thread", "two threads"])
def results(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The output of the script."""
    if reason := unavailable():
        pytest.skip(f"no namespaces: {reason}")
    root = str(Path(__file__).parents[2])
    command = ("env", f"PYTHONPATH={root}", sys.executable, _SCRIPT, str(request.param))
    with Network() as network:
        results: dict[str, Any] = json.loads(network.client.run(*command).stdout)
    return results


def test_only_calls_that_would_deadlock_are_rejected(
    results: dict[str, Any],
) -> None:
    for name, (kind, text, _) in results["calls"].items():
        is_rejected = name.partition(": ")[2].startswith(_REJECTED)
        assert kind == ("RuntimeError" if is_rejected else ""), (name, kind, text)
        assert not is_rejected or "a stage cannot" in text, (name, text)


def test_no_call_blocks(results: dict[str, Any]) -> None:
    slow = {name: call[2] for name, call in results["calls"].items() if call[2] > 0.5}
    assert slow == {}


def test_the_tunnel_accounts_for_every_packet(results: dict[str, Any]) -> None:
    assert results["alive"]
    for counters in (results["counters"], results["sender"]):
        assert imbalances(counters) == []
        assert late(counters) == 0
    assert results["counters"]["inbound"]["left"] == results["packets"]
    assert results["counters"]["inbound"]["drops"] == {}
    assert results["counters"]["stages"]["stages"]["CallsTunnel"]["failures"] == 0


_DELETES = """
import subprocess, time
import pyfw
from pyfw import Tunnel, _native
from tests.interop.two_tunnels import config

class It(pyfw.Stage):
    tick_ms = 1
    def tick(self, now_ns):
        sum(range(1000))

private = [_native.generate_private_key() for _ in range(2)]
for threads in (1, 2):
    settings = pyfw.Settings(threads=threads)
    tunnel = Tunnel(config=config(threads - 1, private), settings=settings, stages=[It()])
    tunnel.open()
    time.sleep(0.1)
    begun = time.monotonic()
    del tunnel
    assert time.monotonic() - begun < 0.5
    begun = time.monotonic()
    while subprocess.run(["ip", "link", "show", f"wg{threads - 1}"], capture_output=True).returncode == 0:
        assert time.monotonic() - begun < 10
print("gone")
"""


def test_a_tunnel_that_is_not_closed_is_deleted_quickly() -> None:
    if reason := unavailable():
        pytest.skip(f"no namespaces: {reason}")
    root = str(Path(__file__).parents[2])
    with Network() as network:
        command = ("env", f"PYTHONPATH={root}", sys.executable, "-c", _DELETES)
        assert network.client.run(*command).stdout == "gone\n"
