"""A burst arrives completely and in order, although no later packet pushes it out."""

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
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.bind((sys.argv[1], int(sys.argv[2])))
receiver.settimeout(10)
print("ready", flush=True)
for burst in map(int, sys.argv[3:]):
    received = []
    for _ in range(burst):
        data, sender = receiver.recvfrom(2048)
        received.append(int(data))
    assert received == list(range(burst)), received
    receiver.sendto(b"complete", sender)
"""
_SOURCE = """
import socket, sys
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.connect((sys.argv[1], int(sys.argv[2])))
sender.settimeout(10)
for burst in map(int, sys.argv[3:]):
    for number in range(burst):
        sender.send(b"%064d" % number)
    assert sender.recv(2048) == b"complete"
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_burst_arrives_without_a_later_packet(make_pair_in_module: MakePair, threads: int) -> None:
    make = partial(pyfw_run, f"threads = {threads}")
    pair = make_pair_in_module(make, make)
    pair.first_ping_ms()
    arguments = [BEHIND["server"].v4, str(_PORT), *map(str, _BURSTS)]
    sink = pair.network.server.start(sys.executable, "-c", _SINK, *arguments)
    sink.wait_for("ready\n")
    pair.network.client.run(sys.executable, "-c", _SOURCE, *arguments)
    sink.wait(10)
    gso = pair.client.counters()["gso"]
    assert gso["datagrams"] > gso["batches"]
