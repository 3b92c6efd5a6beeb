"""A burst arrives whole and in order, though nothing follows it: what may be filled does not wait long."""

import sys
from functools import partial

import pytest

from lab import BEHIND, pyfw_run
from tests.interop.conftest import MakePair

_PORT = 5400
# Around one batch of 64 datagrams and one drain of 128 frames; 250 would overflow the default buffer.
_BURSTS = [1, 63, 64, 65, 70, 127, 128, 129, 130, 200] * 3

_SINK = """
import socket, sys
taking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
taking.bind((sys.argv[1], int(sys.argv[2])))
taking.settimeout(10)
print("ready", flush=True)
for burst in map(int, sys.argv[3:]):
    got = []
    for _ in range(burst):
        data, sender = taking.recvfrom(2048)
        got.append(int(data))
    assert got == list(range(burst)), got
    taking.sendto(b"whole", sender)
"""
_SOURCE = """
import socket, sys
giving = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
giving.connect((sys.argv[1], int(sys.argv[2])))
giving.settimeout(10)
for burst in map(int, sys.argv[3:]):
    for number in range(burst):
        giving.send(b"%064d" % number)
    assert giving.recv(2048) == b"whole"
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_a_burst_arrives_whole_and_in_order_though_nothing_follows_it(
    make_pair: MakePair, threads: int
) -> None:
    make = partial(pyfw_run, f"threads = {threads}")
    pair = make_pair(make, make)
    pair.first_ping_ms()
    arguments = [BEHIND["server"].v4, str(_PORT), *map(str, _BURSTS)]
    sink = pair.network.server.start(sys.executable, "-c", _SINK, *arguments)
    sink.wait_for("ready\n")
    pair.network.client.run(sys.executable, "-c", _SOURCE, *arguments)
    sink.wait(10)
    gso = pair.client.counters()["gso"]
    assert gso["datagrams"] > gso["batches"]
