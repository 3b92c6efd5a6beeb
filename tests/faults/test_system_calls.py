"""Each system call of a data thread fails in each way that it may: nothing ends, all that is lost is counted.

strace(1) makes single calls of that one thread fail, while a numbered stream runs both ways; afterwards the
tunnel is as it was.
"""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import TUNNEL, Daemon, Network, Pair, Process, Stream, pyfw_run, unavailable
from pyfw.demo.daemon_counters import drops
from tests.interop.invariants import settled_counters

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(unavailable() is not None, reason=f"no namespaces: {unavailable()}"),
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
]

# What each call may say (sendmmsg(2), recvmmsg(2), tun.c, epoll_wait(2)) and where a drop is counted.
_SEND = "ENOBUFS ENOMEM EPERM EACCES ENETUNREACH EHOSTUNREACH ENETDOWN ECONNREFUSED".split()
_SEND += "EINVAL EIO EMSGSIZE EAGAIN EINTR".split()
_RECEIVE = "ECONNREFUSED EHOSTUNREACH ENETUNREACH ENOMEM ENOBUFS EAGAIN EINTR".split()
_WRITE = "EIO EINVAL ENOMEM ENOBUFS EAGAIN".split()
_READ = "EAGAIN EINTR".split()
CASES = [
    *(("sendmmsg", error) for error in _SEND),
    *(("recvmmsg", error) for error in _RECEIVE),
    *(("writev", error) for error in _WRITE),
    *(("read", error) for error in _READ),
    ("epoll_wait", "EINTR"),
]
# The first call fails and then every seventh: what fails once is tried, what fails often is met again.
# None after the sixtieth: strace that lets go of a thread while it injects leaves it with ENOSYS.
_WHEN = "1..60+7"


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """pyfw at both ends, shared: no case leaves anything behind."""
    with Network() as network:
        pair = Pair(network, pyfw_run(), pyfw_run())
        pair.first_ping_ms()
        yield pair


def data_thread(daemon: Daemon) -> str:
    """The thread that serves both paths."""
    for task in Path(f"/proc/{daemon.process.pid}/task").iterdir():
        if (task / "comm").read_text().startswith("pyfw-data"):
            return task.name
    raise AssertionError("no data thread")


def failing(pair: Pair, call: str, error: str) -> Process:
    """Makes the client's calls fail until it is stopped."""
    tracing = pair.network.client.start(
        *("strace", "-p", data_thread(pair.client), "-e", f"trace={call}"),
        *("-e", f"inject={call}:error={error}:when={_WHEN}"),
    )
    tracing.wait_for("attached")
    return tracing


@pytest.mark.parametrize(("call", "error"), CASES)
def test_a_call_that_fails_ends_nothing_and_is_accounted_for(
    pair: Pair, call: str, error: str
) -> None:
    before = lost(pair.client)
    with Stream(
        *(pair.client.at, pair.gateway.at, TUNNEL["client"].v4, TUNNEL["gateway"].v4),
        per_second=200,
    ) as stream:
        tracing = failing(pair, call, error)
        time.sleep(0.6)
        injected = tracing.output().count("(INJECTED)")
        tracing.stop()
        time.sleep(0.2)
    assert injected > 0
    assert pair.client.process.returncode is None, pair.client.process.output()[-2000:]
    counted = lost(pair.client) - before
    told = f"{stream}; {[drops(daemon.counters()) for daemon in pair.daemons]}"
    assert stream.up.lost + stream.down.lost == counted, told
    if call in ("recvmmsg", "read", "epoll_wait") or error in ("EAGAIN", "EINTR"):
        assert counted == 0 or call == "writev", stream
    assert stream.up.out_of_order == stream.down.out_of_order == 0, stream
    pair.first_ping_ms()


def lost(daemon: Daemon) -> int:
    """What the daemon says it lost."""
    counters = settled_counters(daemon)
    drops = [*counters["outbound"]["drops"].items(), *counters["inbound"]["drops"].items()]
    return sum(count for name, count in drops if name != "no_route")
