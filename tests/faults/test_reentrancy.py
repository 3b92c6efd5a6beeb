"""A stage that calls back into its tunnel: it is served, or refused at once; it never waits for itself."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from lab import Network, unavailable
from lab.counter_checks import imbalances
from pyfw.demo.daemon_counters import late

_SCRIPT = str(Path(__file__).with_name("reentrant.py"))
_REFUSED = ("close", "set_stages")


@pytest.fixture(scope="module", params=[1, 2], ids=["one thread", "two threads"])
def said(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the script found."""
    if reason := unavailable():
        pytest.skip(f"no namespaces: {reason}")
    root = str(Path(__file__).parents[2])
    command = ("env", f"PYTHONPATH={root}", sys.executable, _SCRIPT, str(request.param))
    with Network() as network:
        found: dict[str, Any] = json.loads(network.client.run(*command).stdout)
    return found


def test_what_can_be_done_is_done_and_what_would_wait_for_itself_is_refused(
    said: dict[str, Any],
) -> None:
    for ask, (kind, text, _) in said["told"].items():
        is_refused = ask.partition(": ")[2].startswith(_REFUSED)
        assert kind == ("RuntimeError" if is_refused else ""), (ask, kind, text)
        assert not is_refused or "a stage cannot" in text, (ask, text)


def test_either_is_so_at_once(said: dict[str, Any]) -> None:
    slow = {ask: told[2] for ask, told in said["told"].items() if told[2] > 0.5}
    assert slow == {}


def test_the_tunnel_goes_on_and_accounts_for_every_packet(said: dict[str, Any]) -> None:
    assert said["alive"]
    for counters in (said["counters"], said["sender"]):
        assert imbalances(counters) == []
        assert late(counters) == 0
    assert said["counters"]["inbound"]["left"] == said["packets"]
    assert said["counters"]["inbound"]["drops"] == {}
    assert said["counters"]["stages"]["stages"]["Asks"]["failures"] == 0


_DROPS = """
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
        assert time.monotonic() - begun < 3
print("gone")
"""


def test_a_tunnel_that_is_let_go_instead_of_closed_waits_for_nobody() -> None:
    if reason := unavailable():
        pytest.skip(f"no namespaces: {reason}")
    root = str(Path(__file__).parents[2])
    with Network() as network:
        command = ("env", f"PYTHONPATH={root}", sys.executable, "-c", _DROPS)
        assert network.client.run(*command).stdout == "gone\n"
