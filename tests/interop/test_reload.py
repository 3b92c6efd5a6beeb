"""Reload under traffic: peers that stay lose no packet, and a file with errors changes nothing."""

import re
import signal
import statistics
import time
from collections.abc import Callable, Iterator

import pytest

from lab import OUTER, TUNNEL, Daemon, Network, Pair, Stream, pyfw_run
from pyfw.demo.daemon import CONF, setconf_text
from pyfw.demo.daemon_counters import drops, late
from pyfw.demo.pair import Keys
from tests.interop.host_state import host_state
from tests.interop.invariants import assert_invariants, queue_drops

Configure = Callable[[Daemon, str], None]

_LOOPS = 12
_SECOND_ADDRESS = "192.0.2.22"


@pytest.fixture(scope="module")
def shared_pair() -> Iterator[Pair]:
    """Two of `pyfw run`, shared by all tests: a start takes longer than most of them."""
    with Network() as network:
        yield Pair(network, pyfw_run(), pyfw_run())


@pytest.fixture
def pair(shared_pair: Pair) -> Iterator[Pair]:
    """The shared pair with its original configuration and a session; judged after the test."""
    for side in ("client", "gateway"):
        if late(getattr(shared_pair, side).counters()):
            # A test that failed must not fail the others.
            shared_pair.restart(side)
    for daemon, conf in zip(shared_pair.daemons, shared_pair.confs, strict=True):
        by_syncconf(daemon, conf)
        by_sighup(daemon, conf)
    shared_pair.first_ping_ms()
    yield shared_pair
    assert_invariants(shared_pair)


def traffic(pair: Pair, version: int = 4) -> Stream:
    """Returns a stream of 1,000 numbered datagrams a second each way through the tunnel."""
    addresses = (TUNNEL[side].of(version) for side in ("client", "gateway"))
    return Stream(pair.network.client, pair.network.gateway, *addresses)


def by_sighup(daemon: Daemon, conf: str) -> None:
    before = reloads(daemon)
    daemon.at.write(CONF, conf)
    daemon.process.signal(signal.SIGHUP)
    deadline = time.monotonic() + 10
    while reloads(daemon) == before:
        assert time.monotonic() < deadline, daemon.process.output()
        time.sleep(0.005)


def reloads(daemon: Daemon) -> int:
    """Returns the number of finished reloads, failed ones included."""
    return len(
        re.findall(r'"message":"reload\.(?:applied|refused|failed)', daemon.process.output())
    )


def by_syncconf(daemon: Daemon, conf: str) -> None:
    daemon.at.write("/run/sync.conf", setconf_text(conf))
    daemon.wg("syncconf", "wg0", "/run/sync.conf")


both_ways = pytest.mark.parametrize(
    "configure", [by_sighup, by_syncconf], ids=["sighup", "syncconf"]
)


def with_second_peer(conf: str, key: str, network: str) -> str:
    return f"{conf}[Peer]\nPublicKey = {key}\nAllowedIPs = {network}\n"


def running_state(daemon: Daemon) -> dict[str, list[str]]:
    return {"peers": daemon.wg("showconf", "wg0").splitlines(), **host_state(daemon.at)}


def describe(pair: Pair, stream: Stream) -> str:
    """Returns the text of a failure: the stream, and all drops."""
    kernel = f"queues dropped {queue_drops(pair)}"
    return "; ".join([str(stream), kernel, *(str(drops(d.counters())) for d in pair.daemons)])


def errors(stream: Stream) -> tuple[int, int, int]:
    """Returns how many datagrams were lost, reordered and duplicated."""
    ways = (stream.up, stream.down)
    return (
        sum(way.lost + way.refused for way in ways),
        sum(way.out_of_order for way in ways),
        sum(way.duplicated for way in ways),
    )


@both_ways
def test_reloads_in_a_loop_lose_nothing(pair: Pair, configure: Configure) -> None:
    other = Keys.generate().public
    with traffic(pair) as stream:
        for turn in range(_LOOPS):
            for daemon, conf in zip(pair.daemons, pair.confs, strict=True):
                # The second peer is added, changed, and removed.
                second = with_second_peer(conf, other, f"10.99.{turn}.0/24")
                configure(daemon, conf if turn % 3 == 0 else second)
    assert errors(stream) == (0, 0, 0), describe(pair, stream)
    assert stream.up.sent > _LOOPS, stream
    assert "Failed" not in pair.client.wg("show", "wg0")
    assert other in pair.client.wg("show", "wg0", "peers")


@both_ways
def test_a_preshared_key_counts_at_the_next_handshake(pair: Pair, configure: Configure) -> None:
    psk = Keys.generate().private
    with traffic(pair, 6) as stream:
        for daemon, conf in zip(pair.daemons, pair.confs, strict=True):
            configure(daemon, f"{conf}PresharedKey = {psk}\n")
    assert errors(stream) == (0, 0, 0), describe(pair, stream)
    assert psk in pair.client.wg("show", "wg0", "preshared-keys")


@both_ways
def test_allowed_ips_move_between_peers(pair: Pair, configure: Configure) -> None:
    other, network = Keys.generate().public, "10.99.0.0/16"
    first = re.sub(r"(AllowedIPs = .*)", rf"\1, {network}", pair.confs[0])
    second = with_second_peer(pair.confs[0], other, network)
    with traffic(pair) as stream:
        for turn in range(_LOOPS):
            configure(pair.client, (first, second)[turn % 2])
    assert errors(stream) == (0, 0, 0), describe(pair, stream)
    assert re.search(
        rf"{re.escape(other)}\t{network}", pair.client.wg("show", "wg0", "allowed-ips")
    )


@both_ways
def test_a_private_key_changes_within_a_second(pair: Pair, configure: Configure) -> None:
    new = Keys.generate()
    with traffic(pair) as stream:
        configure(pair.gateway, pair.confs[1].replace(pair.keys[0].public, new.public))
        configure(pair.client, pair.confs[0].replace(pair.keys[0].private, new.private))
        time.sleep(1.5)
    assert pair.gateway.wg("show", "wg0", "peers").strip() == new.public
    for way in (stream.up, stream.down):
        assert way.longest_silence_s < 1.0, stream
        assert way.out_of_order == 0, stream


@pytest.mark.alone
@both_ways
def test_a_new_port_loses_nothing(pair: Pair, configure: Configure) -> None:
    with traffic(pair) as stream:
        # The last port is the one before, whose sockets are still being read.
        for port in (4001, 4002, 4003, 4004, 4003):
            configure(pair.client, pair.confs[0].replace("51820", str(port), 1))
            time.sleep(0.1)
    assert f"{OUTER['client'].v4}:4003" in pair.gateway.wg("show", "wg0", "endpoints")
    assert errors(stream) == (0, 0, 0), describe(pair, stream)
    assert late(pair.client.counters()) == 0


@pytest.mark.alone
@both_ways
def test_a_new_endpoint_interrupts_traffic_for_200_ms_at_most(
    pair: Pair, configure: Configure
) -> None:
    gateway = pair.network.gateway
    gateway.ip("address", "replace", f"{_SECOND_ADDRESS}/24", "dev", "outer")
    addresses = (OUTER["gateway"].v4, _SECOND_ADDRESS)
    silences = []
    for turn in range(3):
        old, new = addresses[turn % 2], addresses[1 - turn % 2]
        with traffic(pair) as stream:
            time.sleep(0.2)
            # Datagrams from the old address would make the client roam back to it.
            gateway.run("nft", _drop_datagrams_from(old))
            configure(pair.client, pair.confs[0].replace(addresses[0], new))
            time.sleep(0.4)
        assert f"{new}:51820" in pair.client.wg("show", "wg0", "endpoints")
        assert (stream.up.out_of_order, stream.down.out_of_order) == (0, 0)
        silences.append(max(stream.up.longest_silence_s, stream.down.longest_silence_s))
    gateway.run("nft", "delete table ip old")
    assert statistics.median(silences) <= 0.2, silences


def _drop_datagrams_from(address: str) -> str:
    rule = f"ip saddr {address} udp sport 51820 drop"
    chain = f"chain out {{ type filter hook output priority 0; {rule}; }}"
    return f"table ip old; delete table ip old; table ip old {{ {chain}; }}"


def test_a_file_with_errors_is_refused_and_changes_nothing(pair: Pair) -> None:
    before = running_state(pair.client)
    broken = (
        pair.confs[0].replace("MTU = ", "MTU = x").replace("ListenPort", "Listenport = 1\nPort")
    )
    with traffic(pair) as stream:
        by_sighup(pair.client, broken)
    log = pair.client.process.output()
    assert re.search(r"reload\.refused.*wg0\.conf:4: Port: no such key", log), log
    assert re.search(r"reload\.refused.*wg0\.conf:6: MTU: ", log), log
    assert running_state(pair.client) == before
    assert errors(stream) == (0, 0, 0), describe(pair, stream)


def test_after_a_system_error_the_old_configuration_stays(pair: Pair) -> None:
    before = running_state(pair.client)
    other = pair.client.at.start(
        "python3", "-c",
        "import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
        "s.bind(('', 4711)); print('bound', flush=True); time.sleep(60)",
    )  # fmt: skip
    other.wait_for("bound")
    with traffic(pair) as stream:
        by_sighup(pair.client, pair.confs[0].replace("ListenPort = 51820", "ListenPort = 4711"))
    other.stop()
    assert "reload.failed" in pair.client.process.output()
    assert "Address already in use" in pair.client.process.output()
    assert running_state(pair.client) == before
    assert errors(stream) == (0, 0, 0), describe(pair, stream)
