"""Each system call of a data thread fails with each of its errors, and every lost packet is counted.

strace(1) injects errors into single calls of the data thread while a numbered stream runs in both directions.
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

# Errors that each call may return (sendmmsg(2), recvmmsg(2), tun.c, epoll_wait(2)).
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
# The first call fails, then every seventh. None after the sixtieth: strace that detaches while it injects
# leaves the thread with ENOSYS.
_WHEN = "1..60+7"


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """pyfw at both ends, shared by all cases."""
    with Network() as network:
        pair = Pair(network, pyfw_run(), pyfw_run())
        pair.first_ping_ms()
        yield pair


def data_thread(daemon: Daemon) -> str:
    """The id of the thread that serves both paths."""
    for task in Path(f"/proc/{daemon.process.pid}/task").iterdir():
        if (task / "comm").read_text().startswith("pyfw-data"):
            return task.name
    raise AssertionError("no data thread")


def failing(pair: Pair, call: str, error: str) -> Process:
    """Makes the client's calls fail until strace is stopped."""
    call = (
        "/^epoll_p?wait" if call == "epoll_wait" else call
    )  # which of them depends on the library
    tracing = pair.network.client.start(
        *("strace", "-p", data_thread(pair.client), "-e", f"trace={call}"),
        *("-e", f"inject={call}:error={error}:when={_WHEN}"),
    )
    tracing.wait_for("attached")
    return tracing


@pytest.mark.parametrize(("call", "error"), CASES)
def test_a_failed_system_call_loses_no_count(pair: Pair, call: str, error: str) -> None:
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
    details = f"{stream}; {[drops(daemon.counters()) for daemon in pair.daemons]}"
    assert stream.up.lost + stream.down.lost == counted, details
    if call in ("recvmmsg", "read", "epoll_wait") or error in ("EAGAIN", "EINTR"):
        assert counted == 0 or call == "writev", stream
    assert stream.up.out_of_order == stream.down.out_of_order == 0, stream
    pair.first_ping_ms()


def lost(daemon: Daemon) -> int:
    """Packets that the daemon counts as lost."""
    counters = settled_counters(daemon)
    drops = [*counters["outbound"]["drops"].items(), *counters["inbound"]["drops"].items()]
    return sum(count for name, count in drops if name != "no_route")
