"""A queue that stands at the TUN, as the daemon is slower than the stack before it: its senders are told."""

from textwrap import dedent

from lab import Network, Pair, pyfw_run
from lab.measure import Flows, Sample, Subject
from tests.interop.conftest import MakePair
from tests.interop.judge import settled

# 256 KiB each 2 ms at most: what TCP has in flight beyond that stands in front of the daemon.
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
    # 1: asks for ECN with every connection.
    network.client.sysctl("net.ipv4.tcp_ecn", "1" if ecn else "0")
    slow = pyfw_run('[[stages]]\nuse = "stage.py:Slow"\n')
    pair = make_pair(lambda: slow, pyfw_run)
    pair.first_ping_ms()
    return pair


def loaded(pair: Pair) -> tuple[Sample, dict[str, int]]:
    """A second of one flow, and what the client's outbound path counted in it."""
    sample = Flows(1, 0, pinged=True).run(Subject(pair), 1.0)
    outbound = settled(pair.client)["outbound"]
    marked, congested = outbound["marked"], outbound["drops"].get("congested", 0)
    return sample, {"marked": marked, "congested": congested}


def test_by_the_loss_of_single_segments(network: Network, make_pair: MakePair) -> None:
    sample, told = loaded(slow_client(network, make_pair, ecn=False))
    assert told["marked"] == 0
    # A signal each 100 ms at first, then faster by the square root; a segment each, or a ping.
    assert 0 < told["congested"] < 100
    # What the ring itself drops, it drops by the frame.
    assert sample.drops.get("TUN queue", 0) == 0


def test_by_a_mark_where_the_sender_knows_ecn(network: Network, make_pair: MakePair) -> None:
    sample, told = loaded(slow_client(network, make_pair, ecn=True))
    assert told["marked"] > 0
    # Pings, which know nothing of ECN, share the queue.
    assert sample.values["retransmitted"] == 0
