"""A stage's call that does not return: the session lives, data is dropped and counted, an outcome comes."""

import signal
import time
from typing import Any

import pytest

from lab import Network
from pyfw.demo.daemon_counters import drops
from tests.faults.conftest import MakeStaged
from tests.faults.staged_tunnel import Staged, wait_until

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
            ask = Path("/run/hang")
            if ask.exists():
                how, seconds = ask.read_text().split()
                ask.unlink()
                globals()[how](float(seconds))
"""

kinds = pytest.mark.parametrize("kind", ["sleep", "loop", "hold"])
threads = pytest.mark.parametrize("threads", [1, 2])


def ask_to_hang(network: Network, kind: str, seconds: float, by: str = "") -> None:
    """Has the gateway's next call hang; returns once one does. by: what the client sends for that."""
    ask = network.gateway.path("/run/hang")
    whole = ask.with_name("whole")
    whole.write_text(f"{kind} {seconds}")
    whole.rename(ask)
    if by:
        network.client.run("bash", "-c", by)
    wait_until(lambda: not ask.exists(), 5, every_s=0.002)


def hang(staged: Staged, kind: str, seconds: float, by: str = "") -> None:
    ask_to_hang(staged.network, kind, seconds, by)


def keepalives(staged: Staged) -> int:
    """How many the client has got."""
    return int(staged.client.counters()["datagrams"]["keepalives"])


def stalled(counters: dict[str, Any]) -> dict[str, int]:
    """What was dropped meanwhile, by path.

    A queue that stood until the stall was noticed may have cost a packet in CoDel's name.
    """
    dropped = drops(counters)
    return {
        way: dropped[f"{way}.stage_stalled"] + dropped.get(f"{way}.congested", 0)
        for way in ("inbound", "outbound")
    }


@threads
@kinds
def test_is_logged_and_costs_what_was_sent_meanwhile_and_nothing_else(
    make_staged: MakeStaged, kind: str, threads: int
) -> None:
    staged = make_staged(HANGS, threads=threads)
    staged.ping()
    with staged.stream() as stream:
        time.sleep(0.3)
        begun = time.time()
        hang(staged, kind, 2)
        if kind != "hold":  # nobody can log while the interpreter is held
            wait_until(lambda: staged.said("stage.stalled"), 1.5, every_s=0.01)
            assert time.time() - begun < 0.6
        wait_until(lambda: staged.said("stage.stall_over"), 5)
        time.sleep(0.5)
    (told,) = staged.said("stage.stalled")
    assert told["stage"] == "It" and 250 <= told["for_ms"] < 500, told
    (over,) = staged.said("stage.stall_over")
    assert 1700 <= over["for_ms"] <= 2500, over
    assert stalled(staged.counters) == {"inbound": stream.up.lost, "outbound": stream.down.lost}
    for way in (stream.up, stream.down):
        assert 1000 < way.lost < 2600, stream
        assert len(way.lost_ranges) == 1, stream
        assert (way.out_of_order, way.duplicated) == (0, 0), stream
        assert way.lost_ranges[0][1] < way.sent - 300, stream
    assert (staged.it["failures"], staged.it["drops"]) == (0, {})


@threads
@kinds
def test_handshakes_are_answered_meanwhile(
    make_staged: MakeStaged, kind: str, threads: int
) -> None:
    staged = make_staged(HANGS, threads=threads)
    staged.ping()
    with staged.stream() as stream:
        hang(staged, kind, 2)
        time.sleep(0.5)
        # The client forgets its session, so only a new handshake brings it back.
        conf = staged.client.wg("showconf", "wg0")
        staged.network.client.write("/run/again.conf", conf)
        staged.client.wg("set", "wg0", "peer", staged.pair.keys[1].public, "remove")
        staged.client.wg("syncconf", "wg0", "/run/again.conf")
        wait_until(lambda: staged.handshake_s() > 0, 1)
        again = staged.handshake_s()
        assert not staged.said("stage.stall_over"), "it was while it lasted"
        wait_until(lambda: staged.said("stage.stall_over"), 5)
        time.sleep(0.3)
        assert staged.handshake_s() == again
    for way in (stream.up, stream.down):
        assert way.lost_ranges[-1][1] < way.sent - 100, stream
        assert way.out_of_order == 0, stream


@threads
@kinds
def test_keepalives_are_sent_meanwhile(make_staged: MakeStaged, kind: str, threads: int) -> None:
    staged = make_staged(HANGS, threads=threads)
    staged.ping()
    client_key = staged.pair.keys[0].public
    staged.gateway.wg("set", "wg0", "peer", client_key, "persistent-keepalive", "1")
    hang(staged, kind, 4, by="echo x > /dev/udp/10.77.0.2/9")
    before = keepalives(staged)
    wait_until(lambda: keepalives(staged) >= before + 3, 3.8)
    assert not staged.said("stage.stall_over"), "it was while it lasted"
    wait_until(lambda: staged.said("stage.stall_over"), 5)


def test_a_session_lives_on_through_a_hang_longer_than_a_dead_peer_is_waited_for(
    make_staged: MakeStaged,
) -> None:
    # 15 s without an answer to what it sends would have the client ask for another session.
    staged = make_staged(HANGS, "stall_s = 0")
    staged.ping()
    with staged.stream(100) as stream:
        begun, before = staged.handshake_s(), keepalives(staged)
        hang(staged, "hold", 18)
        wait_until(lambda: staged.said("stage.stall_over"), 25)
        assert staged.handshake_s() == begun
        time.sleep(1)
        got = keepalives(staged) - before
        (over,) = staged.said("stage.stall_over")
        # One each 10 s that nothing else was sent, and none for what came before it ended.
        assert got == over["for_ms"] // 10_000 >= 1, (got, over)
        assert staged.handshake_s() == begun
    assert stalled(staged.counters) == {"inbound": stream.up.lost, "outbound": stream.down.lost}
    for way in (stream.up, stream.down):
        assert (len(way.lost_ranges), way.out_of_order) == (1, 0), stream


@threads
@kinds
def test_with_the_outcome_remove_traffic_goes_on_without_the_stage(
    make_staged: MakeStaged, kind: str, threads: int
) -> None:
    staged = make_staged(HANGS, 'stall_s = 1\noutcome = "remove"', threads=threads)
    staged.ping()
    with staged.stream() as stream:
        time.sleep(0.3)
        hang(staged, kind, 3)
        time.sleep(4)
    assert staged.said("stage.removed")[0]["reason"] == "it did not return"
    assert staged.it["is_out"]
    assert stalled(staged.counters) == {"inbound": stream.up.lost, "outbound": stream.down.lost}
    for way in (stream.up, stream.down):
        assert 600 < way.lost < 1600, stream
        assert (way.out_of_order, way.duplicated) == (0, 0), stream
        # Long before the call came back.
        assert way.lost_ranges[0][1] < way.sent - 2000, stream


@threads
def test_what_a_removed_stage_comes_back_with_overtakes_nothing_in_those_behind_it(
    make_staged: MakeStaged, threads: int
) -> None:
    delay = '[[stages]]\nuse = "impair"\noptions = { delay_ms = 300 }\n'
    table = 'stall_s = 1\noutcome = "remove"'
    staged = make_staged(HANGS, table, threads=threads, stages=delay)
    staged.ping()
    with staged.stream() as stream:
        time.sleep(0.3)
        hang(staged, "sleep", 2)
        time.sleep(3)
    assert staged.said("stage.removed")
    for way in (stream.up, stream.down):
        assert 600 < way.lost < 1800, stream
        assert (way.out_of_order, way.duplicated) == (0, 0), stream


@threads
@kinds
def test_with_the_outcome_close_the_tunnel_ends_and_says_why(
    make_staged: MakeStaged, kind: str, threads: int
) -> None:
    staged = make_staged(HANGS, "stall_s = 1", threads=threads)
    staged.ping()
    with staged.stream() as stream:
        hang(staged, kind, 3)
        begun = time.monotonic()
        status = staged.wait_for_end(12)
    assert status == 1, staged.gateway.process.output()
    assert time.monotonic() - begun < 10
    (ended,) = staged.said("tunnel.ended")
    assert ended["reason"].startswith("stage It did not return for 1."), ended
    assert not staged.network.gateway.has("/run/wireguard/wg0.sock")
    assert "wg0" not in staged.network.gateway.ip("-brief", "link")
    # From the call on nothing arrives, not even after it has returned.
    for way in (stream.up, stream.down):
        assert len(way.lost_ranges) == 1, stream
        assert way.lost_ranges[0][1] == way.sent - 1, stream


@threads
@pytest.mark.parametrize("kind", ["sleep", "loop"])
def test_sigterm_ends_the_daemon_within_ten_seconds(
    make_staged: MakeStaged, kind: str, threads: int
) -> None:
    staged = make_staged(HANGS, "stall_s = 0", threads=threads)
    staged.ping()
    with staged.stream():
        hang(staged, kind, 60)
        begun = time.monotonic()
        staged.gateway.process.signal(signal.SIGTERM)
        status = staged.wait_for_end(15)
    assert time.monotonic() - begun < 10
    assert status == 0, staged.gateway.process.output()
    assert staged.said("stage.left_behind")
    assert not staged.network.gateway.has("/run/wireguard/wg0.sock")
    assert "wg0" not in staged.network.gateway.ip("-brief", "link")
    assert "atal" not in staged.gateway.process.output()


@threads
def test_hangs_one_after_another_are_each_survived(make_staged: MakeStaged, threads: int) -> None:
    staged = make_staged(HANGS, threads=threads)
    staged.ping()
    with staged.stream() as stream:
        for number, kind in enumerate(("sleep", "loop", "hold") * 2, start=1):
            hang(staged, kind, 1)
            wait_until(lambda: len(staged.said("stage.stall_over")) == number, 5)  # noqa: B023
            time.sleep(0.2)
    assert stalled(staged.counters) == {"inbound": stream.up.lost, "outbound": stream.down.lost}
    for way in (stream.up, stream.down):
        assert len(way.lost_ranges) == 6, stream
        assert (way.out_of_order, way.duplicated) == (0, 0), stream


@threads
def test_a_tick_that_hangs_is_no_different(make_staged: MakeStaged, threads: int) -> None:
    source = HANGS.replace("process(self, batch)", "tick(self, now_ns)")
    source = source.replace("class It(pyfw.Stage):", "class It(pyfw.Stage):\n        tick_ms = 10")
    staged = make_staged(source, threads=threads)
    staged.ping()
    with staged.stream() as stream:
        time.sleep(0.3)
        hang(staged, "sleep", 2)
        wait_until(lambda: staged.said("stage.stall_over"), 5)
        time.sleep(0.5)
    assert stalled(staged.counters) == {"inbound": stream.up.lost, "outbound": stream.down.lost}
    for way in (stream.up, stream.down):
        assert (len(way.lost_ranges), way.out_of_order) == (1, 0), stream
        assert way.lost_ranges[0][1] < way.sent - 300, stream
