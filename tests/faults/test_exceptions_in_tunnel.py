"""Stages that raise under traffic: every frame is counted, and order is kept."""

import time

import pytest

from lab import BEHIND
from pyfw.demo.daemon_counters import drops
from pyfw.demo.transfer import TransferServer
from tests.faults.conftest import MakeTunnel

threads = pytest.mark.parametrize("threads", [1, 2])

RAISES = """
    import pyfw

    class It(pyfw.Stage):
        direction = "inbound"
        filter = {"protocol": "udp"}

        def process(self, batch):
            raise ValueError("as always")
"""

OF_ALL_KINDS = """
    import pyfw

    def endless():
        endless()

    def exhausted():
        bytes(1 << 60)

    def raises(kind):
        raise kind

    KINDS = [
        endless, exhausted,
        lambda: raises(SystemExit(3)), lambda: raises(KeyboardInterrupt), lambda: raises(GeneratorExit),
        lambda: raises(StopIteration), lambda: raises(BaseException("plain")), lambda: 1 / 0,
    ]

    class It(pyfw.Stage):
        filter = {"protocol": "udp"}
        calls = 0

        def process(self, batch):
            self.calls += 1
            KINDS[self.calls % len(KINDS)]()
"""

ONE_IN_A_THOUSAND = """
    import pyfw

    class It(pyfw.Stage):
        calls = 0

        def process(self, batch):
            self.calls += 1
            if self.calls % 1000 == 0:
                raise ValueError(self.calls)
"""


@threads
def test_failed_calls_drop_their_frames_and_log_once_per_second(
    make_tunnel: MakeTunnel, threads: int
) -> None:
    tunnel = make_tunnel(RAISES, "failures = 1_000_000", threads=threads)
    tunnel.ping()
    with tunnel.stream() as stream:
        time.sleep(3.2)  # for one traceback per second
    counts, counters = tunnel.stage_counts, tunnel.counters
    assert counts["calls"] == counts["failures"] > 100
    assert counts["drops"] == {"raised": stream.up.sent}
    assert counters["inbound"]["drops"]["stage"] == stream.up.sent == stream.up.lost
    assert (stream.down.lost, stream.down.out_of_order) == (0, 0), stream
    events = tunnel.events("stage.raised")
    assert 3 <= len(events) <= 5, events
    assert all("ValueError: as always" in line["reason"] for line in events)
    assert all('File "/run/stage.py", line 9, in process' in line["reason"] for line in events)
    assert counts["failures"] * 0.5 < sum(line["times"] for line in events) <= counts["failures"]


@threads
def test_no_kind_of_exception_ends_the_daemon(make_tunnel: MakeTunnel, threads: int) -> None:
    tunnel = make_tunnel(OF_ALL_KINDS, "failures = 1_000_000", threads=threads)
    tunnel.ping()
    with tunnel.stream() as stream:
        time.sleep(1)
    tunnel.ping()
    counters = tunnel.counters
    assert tunnel.stage_counts["failures"] == tunnel.stage_counts["calls"] > 100
    assert counters["inbound"]["drops"]["stage"] == stream.up.lost == stream.up.sent
    assert counters["outbound"]["drops"]["stage"] == stream.down.lost == stream.down.sent


@threads
def test_on_error_pass_keeps_order_and_loses_nothing(make_tunnel: MakeTunnel, threads: int) -> None:
    tunnel = make_tunnel(RAISES, 'failures = 1_000_000\non_error = "pass"', threads=threads)
    tunnel.ping()
    with tunnel.stream() as stream:
        time.sleep(1)
    assert tunnel.stage_counts["failures"] == tunnel.stage_counts["calls"] > 100
    tunnel.assert_unharmed(stream)


@threads
def test_tcp_recovers_from_one_failed_call_in_a_thousand(
    make_tunnel: MakeTunnel, threads: int
) -> None:
    tunnel = make_tunnel(ONE_IN_A_THOUSAND, threads=threads)
    tunnel.ping()
    serving = TransferServer(tunnel.network.server, BEHIND["server"].v4)
    assert serving.transfer(tunnel.network.client, "up", 256 << 20).sha256_equal
    assert serving.transfer(tunnel.network.client, "down", 256 << 20).sha256_equal
    counts, dropped = tunnel.stage_counts, drops(tunnel.counters)
    assert counts["failures"] == counts["calls"] // 1000 > 0
    by_stage = [n for reason, n in dropped.items() if reason.endswith(".stage")]
    assert counts["drops"] == {"raised": sum(by_stage)}


@threads
def test_outcome_remove_continues_after_failures(make_tunnel: MakeTunnel, threads: int) -> None:
    tunnel = make_tunnel(RAISES, 'failures = 50\noutcome = "remove"', threads=threads)
    tunnel.ping()
    with tunnel.stream() as stream:
        time.sleep(1)
    counts = tunnel.stage_counts
    assert (counts["calls"], counts["failures"], counts["is_out"]) == (50, 50, True)
    assert counts["drops"] == {"raised": stream.up.lost}
    assert stream.up.lost_ranges == ((0, stream.up.lost - 1),), stream
    assert stream.up.lost < stream.up.sent / 2, stream
    assert (stream.down.lost, stream.up.out_of_order) == (0, 0), stream
    (removed,) = tunnel.events("stage.removed")
    assert removed["stage"] == "It"


@threads
def test_outcome_close_ends_the_tunnel_after_failures(
    make_tunnel: MakeTunnel, threads: int
) -> None:
    tunnel = make_tunnel(RAISES, "failures = 50", threads=threads)
    tunnel.ping()
    with tunnel.stream() as stream:
        status = tunnel.wait_for_end()
    assert status == 1
    (ended,) = tunnel.events("tunnel.ended")
    assert ended["reason"] == "stage It: 50 calls in a row failed"
    assert stream.up.lost == stream.up.sent
    assert not tunnel.network.gateway.has("/run/wireguard/wg0.sock")
    assert "wg0" not in tunnel.network.gateway.ip("-brief", "link")


def test_a_removed_stage_returns_at_the_next_reload(make_tunnel: MakeTunnel) -> None:
    tunnel = make_tunnel(RAISES, 'failures = 1\noutcome = "remove"')
    tunnel.ping()
    with tunnel.stream() as stream:
        time.sleep(0.3)
        assert tunnel.stage_counts["is_out"]
        assert tunnel.reload()
        time.sleep(0.3)
        assert tunnel.reload()
        time.sleep(0.3)
    assert tunnel.events("stage.removed")[1:]
    assert (stream.down.lost, stream.up.out_of_order) == (0, 0), stream
    # Each time after one batch.
    assert len(tunnel.events("stage.removed")) == len(stream.up.lost_ranges) == 3, stream
