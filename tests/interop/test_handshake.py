"""Handshakes from either end, over both IP versions, with a preshared key; and `wg`."""

import re
from collections.abc import Callable

import pytest

from lab import TUNNEL, Pair
from lab.datagrams import send_datagrams
from pyfw.demo.pair import Keys, ping_ms
from tests.interop.foreign_network import latest_handshake

Fresh = Callable[..., Pair]


@pytest.mark.parametrize("initiator", ["client", "gateway"])
def test_the_responder_needs_no_endpoint(fresh: Fresh, initiator: str) -> None:
    pair = fresh(endpoints=(initiator == "client", initiator == "gateway"))
    assert pair.first_ping_ms(by=initiator) < 5_000
    assert all(latest_handshake(daemon) > 0 for daemon in pair.daemons)
    responder = pair.gateway if initiator == "client" else pair.client
    assert re.search(r"\t192\.0\.2\.\d:51820\t", responder.wg("show", "wg0", "dump"))


@pytest.mark.parametrize("initiator", ["client", "gateway"])
def test_either_end_can_start_a_handshake_over_ipv6(fresh: Fresh, initiator: str) -> None:
    pair = fresh(outer_version=6)
    assert pair.first_ping_ms(by=initiator) < 5_000
    assert all(latest_handshake(daemon) > 0 for daemon in pair.daemons)


def test_a_preshared_key_at_one_end_only_blocks_traffic(fresh: Fresh) -> None:
    pair = fresh(preshared=True)
    pair.gateway.set_conf(re.sub("PresharedKey.*", "", pair.confs[1]))
    ping = pair.network.client.run("ping", "-c", "1", "-W", "1", TUNNEL["gateway"].v4, check=False)
    assert "1 packets transmitted, 0 received" in ping.stdout
    assert latest_handshake(pair.client) == 0


@pytest.mark.parametrize("initiator", ["client", "gateway"])
def test_packets_wait_for_the_handshake_in_order(fresh: Fresh, initiator: str) -> None:
    pair = fresh()
    ends = (pair.network.client, pair.network.gateway)
    source, sink = ends if initiator == "client" else ends[::-1]
    if not getattr(pair, initiator).implementation.is_pyfw:
        pytest.skip("wireguard-go does not guarantee the order of staged packets")
    # The first window is sent before any handshake can be answered.
    result = send_datagrams(source, sink, TUNNEL[sink.name].v4, 64, lengths="1-1392")
    assert result.difference is None


def test_wg_shows_what_wg_setconf_set(fresh: Fresh) -> None:
    pair = fresh(preshared=True)
    pair.first_ping_ms(version=6)
    for index, daemon in enumerate(pair.daemons):
        interface, peer = (
            line.split("\t") for line in daemon.wg("show", "wg0", "dump").splitlines()
        )
        own, other = pair.keys[index], pair.keys[1 - index]
        assert interface == [own.private, own.public, "51820", "off"]
        assert peer[:2] == [other.public, pair.preshared_key]
        sent, received = int(peer[6]), int(peer[5])
        # A handshake and a ping at least: 148 B or 92 B, and 128 B.
        assert min(sent, received) >= 92 + 128
        assert peer[7] == "off"


def test_wg_changes_a_private_key_and_removes_a_peer(fresh: Fresh) -> None:
    pair = fresh()
    pair.first_ping_ms()
    keys = Keys.generate()
    pair.client.set_conf(pair.confs[0].replace(pair.keys[0].private, keys.private))
    pair.gateway.set_conf(pair.confs[1].replace(pair.keys[0].public, keys.public))
    assert pair.client.wg("show", "wg0", "public-key").strip() == keys.public
    ping_ms(pair.network.client, TUNNEL["gateway"].v4)
    pair.gateway.wg("set", "wg0", "peer", keys.public, "remove")
    assert pair.gateway.wg("show", "wg0", "peers") == ""
