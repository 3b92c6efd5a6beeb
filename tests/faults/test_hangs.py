"""A stage call that does not return: sessions stay up, data is dropped and counted, the outcome applies."""

import signal
import time
from typing import Any

import pytest

from lab import Network
from pyfw.demo.daemon_counters import drops
from tests.faults.conftest import MakeTunnel
from tests.faults.staged_tunnel import StagedTunnel, wait_until

HANGS = """
    import ctypes, time
    from pathlib import Path
    import pyfw

    def sleep(seconds):
        time.sleep(seconds)

    def loop(seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass

    def hold(seconds):
        ctypes.PyDLL(None).sleep(int(seconds))

    class It(pyfw.Stage):
        filter = {"protocol": "udp"}

        def process(self, batch):
            request = Path("/run/hang")
            if request.exists():
                kind, seconds = request.read_text().split()
                request.unlink()
                globals()[kind](float(seconds))
"""

kinds = pytest.mark.parametrize("kind", ["sleep", "loop", "hold"])
threads = pytest.mark.parametrize("threads", [1, 2])


def hang_gateway(network: Network, kind: str, seconds: float, trigger: str = "") -> None:
    """Makes the gateway's next stage call hang, and waits until it does.

    kind: "sleep", "loop" (runs Python code) or "hold" (sleeps with the GIL). trigger: a shell command of the
    client that sends a packet.
    """
    request = network.gateway.path("/run/hang")
    new = request.with_name("hang.new")
    new.write_text(f"{kind} {seconds}")
    new.rename(request)
    if trigger:
        network.client.run("bash", "-c", trigger)
    wait_until(lambda: not request.exists(), 5, every_s=0.002)


def hang(tunnel: StagedTunnel, kind: str, seconds: float, trigger: str = "") -> None:
    hang_gateway(tunnel.network, kind, seconds, trigger)


def keepalives(tunnel: StagedTunnel) -> int:
    """Keepalives that the client has received."""
    return int(tunnel.client.counters()["datagrams"]["keepalives"])


def stall_drops(counters: dict[str, Any]) -> dict[str, int]:
    """What a stall dropped, by path, including what CoDel dropped from the queue that it caused."""
    dropped = drops(counters)
    return {
        way: dropped[f"{way}.stage_stalled"] + dropped.get(f"{way}.congested", 0)
        for way in ("inbound", "outbound")
    }


@threads
@kinds
def test_a_hang_is_logged_and_only_its_traffic_is_dropped(
    make_tunnel: MakeTunnel, kind: str, threads: int
) -> None:
    tunnel = make_tunnel(HANGS, threads=threads)
    tunnel.ping()
    with tunnel.stream() as stream:
        time.sleep(0.3)
        begun = time.time()
        hang(tunnel, kind, 2)
        if kind != "hold":  # without the GIL nothing is logged
            wait_until(lambda: tunnel.events("stage.stalled"), 1.5, every_s=0.01)
            assert time.time() - begun < 0.6
        wait_until(lambda: tunnel.events("stage.stall_over"), 5)
        time.sleep(0.5)
    (stalled,) = tunnel.events("stage.stalled")
    assert (stalled["stage"], stalled["severity"]) == ("It", "WARNING")
    assert 250 <= stalled["for_ms"] < 500, stalled
    (over,) = tunnel.events("stage.stall_over")
    assert 1700 <= over["for_ms"] <= 2500, over
    assert stall_drops(tunnel.counters) == {"inbound": stream.up.lost, "outbound": stream.down.lost}
    for way in (stream.up, stream.down):
        assert 1000 < way.lost < 2600, stream
        assert len(way.lost_ranges) == 1, stream
        assert (way.out_of_order, way.duplicated) == (0, 0), stream
        assert way.lost_ranges[0][1] < way.sent - 300, stream
    assert (tunnel.stage_counts["failures"], tunnel.stage_counts["drops"]) == (0, {})


@threads
@kinds
def test_handshakes_are_answered_during_a_hang(
    make_tunnel: MakeTunnel, kind: str, threads: int
) -> None:
    tunnel = make_tunnel(HANGS, threads=threads)
    tunnel.ping()
    with tunnel.stream() as stream:
        hang(tunnel, kind, 2)
        time.sleep(0.5)
        # The client forgets its session, so it needs a new handshake.
        conf = tunnel.client.wg("showconf", "wg0")
        tunnel.network.client.write("/run/again.conf", conf)
        tunnel.client.wg("set", "wg0", "peer", tunnel.pair.keys[1].public, "remove")
        tunnel.client.wg("syncconf", "wg0", "/run/again.conf")
        wait_until(lambda: tunnel.handshake_s() > 0, 1)
        again = tunnel.handshake_s()
        assert not tunnel.events("stage.stall_over"), "the hang ended too early"
        wait_until(lambda: tunnel.events("stage.stall_over"), 5)
        time.sleep(0.3)
        assert tunnel.handshake_s() == again
    for way in (stream.up, stream.down):
        assert way.lost_ranges[-1][1] < way.sent - 100, stream
        assert way.out_of_order == 0, stream


@threads
@kinds
def test_keepalives_are_sent_during_a_hang(
    make_tunnel: MakeTunnel, kind: str, threads: int
) -> None:
    tunnel = make_tunnel(HANGS, threads=threads)
    tunnel.ping()
    client_key = tunnel.pair.keys[0].public
    tunnel.gateway.wg("set", "wg0", "peer", client_key, "persistent-keepalive", "1")
    hang(tunnel, kind, 4, trigger="echo x > /dev/udp/10.77.0.2/9")
    before = keepalives(tunnel)
    wait_until(lambda: keepalives(tunnel) >= before + 3, 3.8)
    assert not tunnel.events("stage.stall_over"), "the hang ended too early"
    wait_until(lambda: tunnel.events("stage.stall_over"), 5)


def test_a_session_survives_a_hang_of_18_seconds(
    make_tunnel: MakeTunnel,
) -> None:
    # After 15 s without an answer the client would start a new handshake.
    tunnel = make_tunnel(HANGS, "stall_s = 0")
    tunnel.ping()
    with tunnel.stream(100) as stream:
        begun, before = tunnel.handshake_s(), keepalives(tunnel)
        hang(tunnel, "hold", 18)
        wait_until(lambda: tunnel.events("stage.stall_over"), 25)
        assert tunnel.handshake_s() == begun
        time.sleep(1)
        got = keepalives(tunnel) - before
        (over,) = tunnel.events("stage.stall_over")
        # One per 10 s in which nothing else was sent.
        assert got == over["for_ms"] // 10_000 >= 1, (got, over)
        assert tunnel.handshake_s() == begun
    assert stall_drops(tunnel.counters) == {"inbound": stream.up.lost, "outbound": stream.down.lost}
    for way in (stream.up, stream.down):
        assert (len(way.lost_ranges), way.out_of_order) == (1, 0), stream


@threads
@kinds
def test_outcome_remove_continues_without_the_stage(
    make_tunnel: MakeTunnel, kind: str, threads: int
) -> None:
    tunnel = make_tunnel(HANGS, 'stall_s = 1\noutcome = "remove"', threads=threads)
    tunnel.ping()
    with tunnel.stream() as stream:
        time.sleep(0.3)
        hang(tunnel, kind, 3)
        time.sleep(4)
    assert tunnel.events("stage.removed")[0]["reason"] == "it did not return"
    assert tunnel.stage_counts["is_out"]
    assert stall_drops(tunnel.counters) == {"inbound": stream.up.lost, "outbound": stream.down.lost}
    for way in (stream.up, stream.down):
        assert 600 < way.lost < 1600, stream
        assert (way.out_of_order, way.duplicated) == (0, 0), stream
        # Long before the call returned.
        assert way.lost_ranges[0][1] < way.sent - 2000, stream


@threads
def test_a_removed_stage_that_never_returns_delays_no_exit(
    make_tunnel: MakeTunnel, threads: int
) -> None:
    tunnel = make_tunnel(HANGS, 'stall_s = 1\noutcome = "remove"', threads=threads)
    tunnel.ping()
    with tunnel.stream() as stream:
        time.sleep(0.3)
        hang(tunnel, "sleep", 60)
        time.sleep(3)
    counters = tunnel.counters
    assert tunnel.stage_counts["is_out"]
    for way, direction in ((stream.up, "inbound"), (stream.down, "outbound")):
        # The batch that the call has not returned counts as queued.
        assert way.lost == stall_drops(counters)[direction] + counters[direction]["queued"], stream
        assert way.longest_silence_s < 1.6, stream
    begun = time.monotonic()
    tunnel.gateway.process.signal(signal.SIGTERM)
    assert tunnel.wait_for_end() == 0, tunnel.gateway.process.output()
    assert time.monotonic() - begun < 3


@threads
def test_the_late_batch_of_a_removed_stage_overtakes_nothing(
    make_tunnel: MakeTunnel, threads: int
) -> None:
    delay = '[[stages]]\nuse = "impair"\noptions = { delay_ms = 300 }\n'
    table = 'stall_s = 1\noutcome = "remove"'
    tunnel = make_tunnel(HANGS, table, threads=threads, stages=delay)
    tunnel.ping()
    with tunnel.stream() as stream:
        time.sleep(0.3)
        hang(tunnel, "sleep", 2)
        time.sleep(3)
    assert tunnel.events("stage.removed")
    for way in (stream.up, stream.down):
        assert 600 < way.lost < 1800, stream
        assert (way.out_of_order, way.duplicated) == (0, 0), stream


@threads
@kinds
def test_outcome_close_ends_the_tunnel_with_a_reason(
    make_tunnel: MakeTunnel, kind: str, threads: int
) -> None:
    tunnel = make_tunnel(HANGS, "stall_s = 1", threads=threads)
    tunnel.ping()
    with tunnel.stream() as stream:
        # The loop does not return before the process ends; the others do.
        hang(tunnel, kind, 60 if kind == "loop" else 3)
        begun = time.monotonic()
        status = tunnel.wait_for_end(12)
    assert status == 1, tunnel.gateway.process.output()
    assert time.monotonic() - begun < 10
    (ended,) = tunnel.events("tunnel.ended")
    assert ended["reason"].startswith("stage It did not return for 1."), ended
    assert not tunnel.network.gateway.has("/run/wireguard/wg0.sock")
    assert "wg0" not in tunnel.network.gateway.ip("-brief", "link")
    # Nothing arrives after the call began, not even once it has returned.
    for way in (stream.up, stream.down):
        assert len(way.lost_ranges) == 1, stream
        assert way.lost_ranges[0][1] == way.sent - 1, stream


@threads
@pytest.mark.parametrize("kind", ["sleep", "loop"])
def test_sigterm_ends_a_hung_daemon_within_ten_seconds(
    make_tunnel: MakeTunnel, kind: str, threads: int
) -> None:
    tunnel = make_tunnel(HANGS, "stall_s = 0", threads=threads)
    tunnel.ping()
    with tunnel.stream():
        hang(tunnel, kind, 60)
        begun = time.monotonic()
        tunnel.gateway.process.signal(signal.SIGTERM)
        status = tunnel.wait_for_end(15)
    assert time.monotonic() - begun < 10
    assert status == 0, tunnel.gateway.process.output()
    assert tunnel.events("stage.left_behind")
    assert not tunnel.network.gateway.has("/run/wireguard/wg0.sock")
    assert "wg0" not in tunnel.network.gateway.ip("-brief", "link")
    assert "atal" not in tunnel.gateway.process.output()


@threads
def test_consecutive_hangs_are_survived(make_tunnel: MakeTunnel, threads: int) -> None:
    tunnel = make_tunnel(HANGS, threads=threads)
    tunnel.ping()
    with tunnel.stream() as stream:
        for number, kind in enumerate(("sleep", "loop", "hold") * 2, start=1):
            hang(tunnel, kind, 1)
            wait_until(lambda: len(tunnel.events("stage.stall_over")) == number, 5)  # noqa: B023
            time.sleep(0.2)
    assert stall_drops(tunnel.counters) == {"inbound": stream.up.lost, "outbound": stream.down.lost}
    for way in (stream.up, stream.down):
        assert len(way.lost_ranges) == 6, stream
        assert (way.out_of_order, way.duplicated) == (0, 0), stream


@threads
def test_a_tick_that_hangs_is_handled_like_process(make_tunnel: MakeTunnel, threads: int) -> None:
    source = HANGS.replace("process(self, batch)", "tick(self, now_ns)")
    source = source.replace("class It(pyfw.Stage):", "class It(pyfw.Stage):\n        tick_ms = 10")
    tunnel = make_tunnel(source, threads=threads)
    tunnel.ping()
    with tunnel.stream() as stream:
        time.sleep(0.3)
        hang(tunnel, "sleep", 2)
        wait_until(lambda: tunnel.events("stage.stall_over"), 5)
        time.sleep(0.5)
    assert stall_drops(tunnel.counters) == {"inbound": stream.up.lost, "outbound": stream.down.lost}
    for way in (stream.up, stream.down):
        assert (len(way.lost_ranges), way.out_of_order) == (1, 0), stream
        assert way.lost_ranges[0][1] < way.sent - 300, stream
