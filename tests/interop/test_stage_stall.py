"""A stage that does not come back stalls its tunnel's data, and nothing else (design §6)."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab import TUNNEL, Daemon, Implementation, Pair, Stream, pyfw_run
from tests.interop.conftest import MakePair
from tests.interop.hanging_stage import HANG_S

_STAGE = f'[[stages]]\nuse = "{Path(__file__).with_name("hanging_stage.py")}:Hanging"\n'
_STALLED_MS = 250
_LOOK_MS = 125


def hanging(options: str = "", threads: int = 1) -> Callable[[], Implementation]:
    return lambda: pyfw_run(f"threads = {threads}\n{_STAGE}{options}")


def told(daemon: Daemon, message: str) -> list[dict[str, Any]]:
    """Its log's lines with that message."""
    lines = [line for line in daemon.process.output().splitlines() if line.startswith("{")]
    return [line for line in map(json.loads, lines) if line["message"] == message]


def stream_through(pair: Pair, how: str, seconds: float) -> Stream:
    """A numbered stream both ways, a second of it before the gateway's stage hangs."""
    ends = pair.network.client, pair.network.gateway
    with Stream(*ends, TUNNEL["client"].v4, TUNNEL["gateway"].v4) as stream:
        time.sleep(1)  # of traffic before
        pair.gateway.at.write("/run/hang", how)
        time.sleep(seconds)
    return stream


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("how", ["sleep", "loop", "interpreter held"])
def test_data_is_dropped_and_counted_until_the_call_ends_and_then_goes_on_in_order(
    make_pair: MakePair, how: str, threads: int
) -> None:
    pair = make_pair(pyfw_run, hanging(threads=threads))
    pair.first_ping_ms()
    stream = stream_through(pair, how, HANG_S + 2)
    (stalled,) = told(pair.gateway, "stage.stalled")
    assert (stalled["stage"], stalled["severity"]) == ("Hanging", "WARNING")
    # Two looks late at the most, and a busy machine.
    assert _STALLED_MS <= stalled["for_ms"] < _STALLED_MS + 2 * _LOOK_MS + 250
    assert len(told(pair.gateway, "stage.stall_over")) == 1
    counters = pair.gateway.counters()
    for way, direction in ((stream.up, "inbound"), (stream.down, "outbound")):
        dropped = counters[direction]["drops"]["stage_stalled"]
        assert way.lost == dropped > (HANG_S - 1) * 1000, stream
        assert (way.out_of_order, way.duplicated) == (0, 0), stream
        assert way.sent - way.lost > 1500, stream
        # One hole, from the moment control took over until the call ended.
        assert len(way.lost_ranges) <= 2, stream


@pytest.mark.parametrize("how", ["sleep", "interpreter held"])
def test_handshakes_are_answered_while_a_stage_hangs(make_pair: MakePair, how: str) -> None:
    pair = make_pair(pyfw_run, hanging())
    pair.first_ping_ms()
    before = handshake_s(pair.client)
    time.sleep(1.1)  # for another second in what wg shows
    pair.gateway.at.write("/run/hang", how)
    ping = ("ping", "-n", "-c", "1", "-W", "0.2", TUNNEL["gateway"].v4)
    started = time.monotonic()
    while pair.gateway.at.has("/run/hang"):
        pair.client.at.run(*ping, check=False)
    # The client knows nothing any more, so it shakes hands again.
    pair.restart("client")
    while handshake_s(pair.client) <= before:
        assert time.monotonic() < started + HANG_S, "not within the hang"
        pair.client.at.run(*ping, check=False)
    time.sleep(max(0.0, started + HANG_S + 0.5 - time.monotonic()))
    pair.first_ping_ms()
    assert len(told(pair.gateway, "stage.stalled")) == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_a_stage_that_never_returns_is_taken_out_and_traffic_goes_on_without_it(
    make_pair: MakePair, threads: int
) -> None:
    pair = make_pair(pyfw_run, hanging('stall_s = 1\noutcome = "remove"\n', threads))
    pair.first_ping_ms()
    stream = stream_through(pair, "for ever", 4)
    (removed,) = told(pair.gateway, "stage.removed")
    assert removed["stage"] == "Hanging"
    counters = pair.gateway.counters()
    assert counters["stages"]["stages"]["Hanging"]["is_out"]
    for way, direction in ((stream.up, "inbound"), (stream.down, "outbound")):
        # What the call still has in its hands is queued.
        gone = counters[direction]["drops"]["stage_stalled"] + counters[direction]["queued"]
        assert way.lost == gone < 1500, stream
        assert (way.out_of_order, way.duplicated) == (0, 0), stream
        assert way.longest_silence_s < 1.5, stream
    started = time.monotonic()
    assert pair.gateway.stop() == 0
    assert time.monotonic() - started < 3
    pair.restart("gateway")


def test_a_stage_that_never_returns_closes_the_tunnel_where_that_was_chosen(
    make_pair: MakePair,
) -> None:
    pair = make_pair(pyfw_run, hanging("stall_s = 1\n"))
    pair.first_ping_ms()
    stream = stream_through(pair, "for ever", 1)
    assert stream.up.lost > 0
    deadline = time.monotonic() + 10
    while pair.gateway.process.returncode is None:
        assert time.monotonic() < deadline, pair.gateway.process.output()
        time.sleep(0.05)
    (ended,) = told(pair.gateway, "tunnel.ended")
    assert ended["reason"].startswith("stage Hanging did not return for 1.")
    assert not pair.gateway.at.has("/run/wireguard/wg0.sock")
    pair.restart("gateway")


def test_sigterm_ends_a_daemon_whose_stage_hangs(make_pair: MakePair) -> None:
    pair = make_pair(pyfw_run, hanging("stall_s = 0\n"))
    pair.first_ping_ms()
    stream_through(pair, "for ever", 0.6)
    pair.gateway.process.signal(15)
    deadline = time.monotonic() + 10
    while pair.gateway.process.returncode is None:
        assert time.monotonic() < deadline, pair.gateway.process.output()
        time.sleep(0.05)
    assert told(pair.gateway, "stage.left_behind")
    pair.restart("gateway")


def handshake_s(daemon: Daemon) -> int:
    shown = daemon.wg("show", "wg0", "latest-handshakes").split()
    return int(shown[1])
