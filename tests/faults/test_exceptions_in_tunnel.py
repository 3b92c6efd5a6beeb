"""Stages that raise under traffic: every frame counted, order kept, nothing else touched."""

import signal
import time

import pytest

from lab import BEHIND
from pyfw.demo.daemon_counters import drops
from pyfw.demo.transfer import TransferServer
from tests.faults.conftest import MakeStaged

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
def test_each_call_raises_and_its_frames_alone_are_dropped_with_one_traceback_a_second(
    make_staged: MakeStaged, threads: int
) -> None:
    staged = make_staged(RAISES, "failures = 1_000_000", threads=threads)
    staged.ping()
    with staged.stream() as stream:
        time.sleep(3.2)  # of tracebacks
    it, counters = staged.it, staged.counters
    assert it["calls"] == it["failures"] > 100
    assert it["drops"] == {"raised": stream.up.sent}
    assert counters["inbound"]["drops"]["stage"] == stream.up.sent == stream.up.lost
    assert (stream.down.lost, stream.down.out_of_order) == (0, 0), stream
    said = staged.said("stage.raised")
    assert 3 <= len(said) <= 5, said
    assert all("ValueError: as always" in line["reason"] for line in said)
    assert all('File "/run/stage.py", line 9, in process' in line["reason"] for line in said)
    assert it["failures"] * 0.5 < sum(line["times"] for line in said) <= it["failures"]


@threads
def test_no_kind_of_exception_ends_the_daemon(make_staged: MakeStaged, threads: int) -> None:
    staged = make_staged(OF_ALL_KINDS, "failures = 1_000_000", threads=threads)
    staged.ping()
    with staged.stream() as stream:
        time.sleep(1)
    staged.ping()
    counters = staged.counters
    assert staged.it["failures"] == staged.it["calls"] > 100
    assert counters["inbound"]["drops"]["stage"] == stream.up.lost == stream.up.sent
    assert counters["outbound"]["drops"]["stage"] == stream.down.lost == stream.down.sent


@threads
def test_passed_frames_keep_their_order_and_none_is_lost(
    make_staged: MakeStaged, threads: int
) -> None:
    staged = make_staged(RAISES, 'failures = 1_000_000\non_error = "pass"', threads=threads)
    staged.ping()
    with staged.stream() as stream:
        time.sleep(1)
    assert staged.it["failures"] == staged.it["calls"] > 100
    staged.unharmed(stream)


@threads
def test_one_call_in_a_thousand_is_no_more_than_a_loss_to_tcp(
    make_staged: MakeStaged, threads: int
) -> None:
    staged = make_staged(ONE_IN_A_THOUSAND, threads=threads)
    staged.ping()
    serving = TransferServer(staged.network.server, BEHIND["server"].v4)
    assert serving.transfer(staged.network.client, "up", 256 << 20).sha256_equal
    assert serving.transfer(staged.network.client, "down", 256 << 20).sha256_equal
    it, dropped = staged.it, drops(staged.counters)
    assert it["failures"] == it["calls"] // 1000 > 0
    by_stage = [n for reason, n in dropped.items() if reason.endswith(".stage")]
    assert it["drops"] == {"raised": sum(by_stage)}


@threads
def test_after_so_many_failures_the_stage_is_removed_and_traffic_goes_on(
    make_staged: MakeStaged, threads: int
) -> None:
    staged = make_staged(RAISES, 'failures = 50\noutcome = "remove"', threads=threads)
    staged.ping()
    with staged.stream() as stream:
        time.sleep(1)
    it = staged.it
    assert (it["calls"], it["failures"], it["is_out"]) == (50, 50, True)
    assert it["drops"] == {"raised": stream.up.lost}
    assert stream.up.lost_ranges == ((0, stream.up.lost - 1),), stream
    assert stream.up.lost < stream.up.sent / 2, stream
    assert (stream.down.lost, stream.up.out_of_order) == (0, 0), stream
    (removed,) = staged.said("stage.removed")
    assert removed["stage"] == "It"


@threads
def test_after_so_many_failures_the_tunnel_is_closed_and_says_why(
    make_staged: MakeStaged, threads: int
) -> None:
    staged = make_staged(RAISES, "failures = 50", threads=threads)
    staged.ping()
    with staged.stream() as stream:
        status = staged.wait_for_end()
    assert status == 1
    (ended,) = staged.said("tunnel.ended")
    assert ended["reason"] == "stage It: 50 calls in a row failed"
    assert stream.up.lost == stream.up.sent
    assert not staged.network.gateway.has("/run/wireguard/wg0.sock")
    assert "wg0" not in staged.network.gateway.ip("-brief", "link")


def test_a_removed_stage_comes_back_with_the_next_reload(make_staged: MakeStaged) -> None:
    staged = make_staged(RAISES, 'failures = 1\noutcome = "remove"')
    staged.ping()
    with staged.stream() as stream:
        time.sleep(0.3)
        assert staged.it["is_out"]
        assert staged.reload()
        time.sleep(0.3)
        assert staged.reload()
        time.sleep(0.3)
    assert staged.said("stage.removed")[1:]
    assert (stream.down.lost, stream.up.out_of_order) == (0, 0), stream
    # Each time for one batch.
    assert len(staged.said("stage.removed")) == len(stream.up.lost_ranges) == 3, stream
    staged.gateway.process.signal(signal.SIGUSR1)
