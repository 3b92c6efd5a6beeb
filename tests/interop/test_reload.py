"""Another configuration under traffic: peers that stay lose nothing, a wrong file changes nothing."""

import re
import signal
import statistics
import time
from collections.abc import Callable

import pytest

from lab import OUTER, TUNNEL, Daemon, Pair, Stream, pyfw_run
from pyfw.demo.counter_checks import drops, late
from pyfw.demo.daemon import CONF, plain
from pyfw.demo.pair import Keys
from tests.interop.host_state import host_state
from tests.interop.judge import dropped

MakePair = Callable[..., Pair]
Configure = Callable[[Daemon, str], None]

_LOOPS = 20
_SECOND_ADDRESS = "192.0.2.22"


@pytest.fixture
def pair(make_pair: MakePair) -> Pair:
    """Two of `pyfw run`, with a session between them."""
    pair = make_pair(pyfw_run, pyfw_run)
    pair.first_ping_ms()
    return pair


def traffic(pair: Pair, version: int = 4) -> Stream:
    """1,000 numbered datagrams a second each way, through the tunnel."""
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
    """How many are done, one way or the other."""
    return len(re.findall(r'"message":"reload(?:ed| refused| failed)', daemon.process.output()))


def by_syncconf(daemon: Daemon, conf: str) -> None:
    daemon.at.write("/run/sync.conf", plain(conf))
    daemon.wg("syncconf", "wg0", "/run/sync.conf")


by = pytest.mark.parametrize("configure", [by_sighup, by_syncconf], ids=["sighup", "syncconf"])


def with_bystander(conf: str, key: str, network: str) -> str:
    return f"{conf}[Peer]\nPublicKey = {key}\nAllowedIPs = {network}\n"


def in_force(daemon: Daemon) -> dict[str, list[str]]:
    return {"peers": daemon.wg("showconf", "wg0").splitlines(), **host_state(daemon.at)}


def told(pair: Pair, stream: Stream) -> str:
    """What a failure has to say: the stream, and who dropped."""
    kernel = f"kernels dropped {dropped(pair)}"
    return "; ".join([str(stream), kernel, *(str(drops(d.counters())) for d in pair.daemons)])


def lost(stream: Stream) -> tuple[int, int, int]:
    ways = (stream.up, stream.down)
    return (
        sum(way.lost + way.refused for way in ways),
        sum(way.out_of_order for way in ways),
        sum(way.duplicated for way in ways),
    )


@by
def test_in_a_loop_it_loses_nothing_on_a_peer_that_stays(pair: Pair, configure: Configure) -> None:
    other = Keys.generate().public
    with traffic(pair) as stream:
        for turn in range(_LOOPS):
            for daemon, conf in zip(pair.daemons, pair.confs, strict=True):
                # Comes, changes, goes.
                here = conf if turn % 3 == 0 else with_bystander(conf, other, f"10.99.{turn}.0/24")
                configure(daemon, here)
    assert lost(stream) == (0, 0, 0), told(pair, stream)
    assert stream.up.sent > _LOOPS, stream
    assert "Failed" not in pair.client.wg("show", "wg0")
    assert other in pair.client.wg("show", "wg0", "peers")


@by
def test_a_preshared_key_counts_from_the_next_handshake_on(
    pair: Pair, configure: Configure
) -> None:
    psk = Keys.generate().private
    with traffic(pair, 6) as stream:
        for daemon, conf in zip(pair.daemons, pair.confs, strict=True):
            configure(daemon, f"{conf}PresharedKey = {psk}\n")
    assert lost(stream) == (0, 0, 0), told(pair, stream)
    assert psk in pair.client.wg("show", "wg0", "preshared-keys")


@by
def test_allowed_ips_move_between_peers_and_the_others_do_not_notice(
    pair: Pair, configure: Configure
) -> None:
    other, network = Keys.generate().public, "10.99.0.0/16"
    ours = re.sub(r"(AllowedIPs = .*)", rf"\1, {network}", pair.confs[0])
    theirs = with_bystander(pair.confs[0], other, network)
    with traffic(pair) as stream:
        for turn in range(_LOOPS):
            configure(pair.client, (ours, theirs)[turn % 2])
    assert lost(stream) == (0, 0, 0), told(pair, stream)
    assert re.search(
        rf"{re.escape(other)}\t{network}", pair.client.wg("show", "wg0", "allowed-ips")
    )


@by
def test_a_new_private_key_makes_a_new_session_within_a_second(
    pair: Pair, configure: Configure
) -> None:
    new = Keys.generate()
    with traffic(pair) as stream:
        configure(pair.gateway, pair.confs[1].replace(pair.keys[0].public, new.public))
        configure(pair.client, pair.confs[0].replace(pair.keys[0].private, new.private))
        time.sleep(1.5)
    assert pair.gateway.wg("show", "wg0", "peers").strip() == new.public
    for way in (stream.up, stream.down):
        assert way.longest_silence_s < 1.0, stream
        assert way.out_of_order == 0, stream


@by
def test_a_new_port_loses_nothing_and_the_other_end_follows_at_once(
    pair: Pair, configure: Configure
) -> None:
    with traffic(pair) as stream:
        # The last one is the one before, which is only just being left.
        for port in (4001, 4002, 4003, 4004, 4003):
            configure(pair.client, pair.confs[0].replace("51820", str(port), 1))
            time.sleep(0.1)
    assert f"{OUTER['client'].v4}:4003" in pair.gateway.wg("show", "wg0", "endpoints")
    assert lost(stream) == (0, 0, 0), told(pair, stream)
    assert late(pair.client.counters()) == 0


@by
def test_a_new_endpoint_under_traffic_is_a_silence_of_a_fifth_of_a_second_at_most(
    pair: Pair, configure: Configure
) -> None:
    gateway = pair.network.gateway
    gateway.ip("address", "add", f"{_SECOND_ADDRESS}/24", "dev", "outer")
    addresses = (OUTER["gateway"].v4, _SECOND_ADDRESS)
    silences = []
    for turn in range(5):
        old, new = addresses[turn % 2], addresses[1 - turn % 2]
        with traffic(pair) as stream:
            time.sleep(0.2)
            # From its old address the gateway would let the client roam back there.
            gateway.run("nft", _nothing_from(old))
            configure(pair.client, pair.confs[0].replace(addresses[0], new))
            time.sleep(0.4)
        assert f"{new}:51820" in pair.client.wg("show", "wg0", "endpoints")
        assert (stream.up.out_of_order, stream.down.out_of_order) == (0, 0)
        silences.append(max(stream.up.longest_silence_s, stream.down.longest_silence_s))
    assert statistics.median(silences) <= 0.2, silences


def _nothing_from(address: str) -> str:
    rule = f"ip saddr {address} udp sport 51820 drop"
    chain = f"chain out {{ type filter hook output priority 0; {rule}; }}"
    return f"table ip old; delete table ip old; table ip old {{ {chain}; }}"


def test_a_wrong_file_is_refused_with_all_that_is_wrong_and_changes_nothing(pair: Pair) -> None:
    before = in_force(pair.client)
    wrong = pair.confs[0].replace("MTU = ", "MTU = x").replace("ListenPort", "Listenport = 1\nPort")
    with traffic(pair) as stream:
        by_sighup(pair.client, wrong)
    said = pair.client.process.output()
    assert re.search(r"reload.refused.*wg0\.conf:4: Port: no such key", said), said
    assert re.search(r"reload.refused.*wg0\.conf:6: MTU: ", said), said
    assert in_force(pair.client) == before
    assert lost(stream) == (0, 0, 0), told(pair, stream)


def test_what_the_machine_refuses_is_told_and_what_was_in_force_stays(pair: Pair) -> None:
    before = in_force(pair.client)
    taken = pair.client.at.start(
        "python3", "-c",
        "import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
        "s.bind(('', 4711)); print('bound', flush=True); time.sleep(60)",
    )  # fmt: skip
    taken.wait_for("bound")
    with traffic(pair) as stream:
        by_sighup(pair.client, pair.confs[0].replace("ListenPort = 51820", "ListenPort = 4711"))
    assert "reload.failed" in pair.client.process.output()
    assert "Address already in use" in pair.client.process.output()
    assert in_force(pair.client) == before
    assert lost(stream) == (0, 0, 0), told(pair, stream)
