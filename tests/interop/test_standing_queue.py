"""A daemon slower than its senders signals them: by ECN, or by dropping single segments."""

from textwrap import dedent

import pytest

from lab import Network, Pair, pyfw_run
from lab.measure import Flows, MeasuredTunnel, Sample
from tests.interop.conftest import MakePair
from tests.interop.invariants import settled_counters

pytestmark = pytest.mark.alone

# At most 256 KiB every 2 ms: what TCP has in flight beyond that queues before the daemon.
SLOW = """
    import time
    import pyfw

    class Slow(pyfw.Stage):
        direction = "outbound"

        def process(self, batch):
            time.sleep(0.002)
"""


def slow_client(network: Network, make_pair: MakePair, ecn: bool) -> Pair:
    network.client.write("/run/stage.py", dedent(SLOW))
    # 1 requests ECN for every connection.
    network.client.sysctl("net.ipv4.tcp_ecn", "1" if ecn else "0")
    slow = pyfw_run('[[stages]]\nuse = "stage.py:Slow"\n')
    pair = make_pair(lambda: slow, pyfw_run)
    pair.first_ping_ms()
    return pair


def run_flow(pair: Pair) -> tuple[Sample, dict[str, int]]:
    """Runs one flow for a second; returns the sample, and the client's marks and drops."""
    sample = Flows(1, 0, pinged=True).run(MeasuredTunnel(pair), 1.0)
    outbound = settled_counters(pair.client)["outbound"]
    counted = {
        "marked": outbound["marked"],
        "congested": outbound["drops"].get("congested", 0),
    }
    return sample, counted


def test_standing_queue_drops_single_segments(network: Network, make_pair: MakePair) -> None:
    sample, counted = run_flow(slow_client(network, make_pair, ecn=False))
    assert counted["marked"] == 0
    # A signal every 100 ms at first, then faster by the square root; each is one segment or ping.
    assert 0 < counted["congested"] < 100
    # The TUN's own queue would drop whole frames.
    assert sample.drops.get("TUN queue", 0) == 0


def test_standing_queue_marks_senders_with_ecn(network: Network, make_pair: MakePair) -> None:
    sample, counted = run_flow(slow_client(network, make_pair, ecn=True))
    assert counted["marked"] > 0
    # Only pings, which share the queue and have no ECN, may be dropped.
    assert sample.values["retransmitted"] == 0
