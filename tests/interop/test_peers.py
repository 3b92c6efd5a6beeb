"""pyfw and other WireGuard implementations: handshakes, keys, unknown peers, restarts, keepalives."""

import re
import sys
import threading
import time
from pathlib import Path

import pytest

from lab import BEHIND, OUTER, TUNNEL, Daemon, Pair
from lab.datagrams import send_datagrams
from lab.peers import Peer
from pyfw.demo.pair import Keys, ping_ms
from pyfw.demo.transfer import TransferServer
from tests.interop.foreign_network import (
    ForeignNetwork,
    latest_handshake,
    received_bytes,
    stop_relay,
)

_FLOOD = [sys.executable, "-P", str(Path(__file__).with_name("handshake_flood.py"))]
# A retry follows after 5 s and up to a third of a second (whitepaper §6.4), and on a busy machine later.
_RETRY_S = 5.4
SIDES = ["client", "gateway"]


# With wireguard-go test_handshake and test_traffic cover these three.
@pytest.mark.long
@pytest.mark.parametrize("outer_version", [4, 6])
@pytest.mark.parametrize("initiator", SIDES)
def test_either_side_initiates(
    foreign_network: ForeignNetwork, initiator: str, outer_version: int
) -> None:
    knows = (initiator == "client", initiator == "gateway")
    pair = foreign_network.pair(outer_version=outer_version, endpoints=knows)
    # It is answered within 5 s, so without a retry.
    pair.first_ping_ms(by=initiator)
    assert latest_handshake(pair.client) > 0
    pair.first_ping_ms(by=SIDES[1 - SIDES.index(initiator)], version=6)


@pytest.mark.long
@pytest.mark.parametrize("initiator", SIDES)
def test_preshared_key_is_needed_on_both_sides(
    foreign_network: ForeignNetwork, initiator: str
) -> None:
    pair = foreign_network.pair(preshared=True)
    pair.reconfigure("gateway", re.sub("PresharedKey.*", "", pair.confs[1]))
    assert not is_answered(pair, initiator)
    assert latest_handshake(getattr(pair, initiator)) == 0
    pair.reconfigure("gateway", pair.confs[1])
    assert pair.first_ping_ms(by=initiator, version=6) < 1_000 * (_RETRY_S + 1)


@pytest.mark.long
def test_traffic_of_every_length_passes_unchanged(foreign_network: ForeignNetwork) -> None:
    foreign_network.pair().first_ping_ms()
    network, address = foreign_network.network, BEHIND["server"].v4
    # For neighbour discovery behind the gateway.
    ping_ms(network.client, address)
    # 577, the stride through the lengths, and 1392 have no common divisor, so every length is sent.
    result = send_datagrams(
        network.client, network.server, address, 1400, lengths="1-1392", ecn="0,2"
    )
    assert result.difference is None
    transfers = TransferServer(network.server, BEHIND["server"].v6)
    for direction in ("up", "down"):
        assert transfers.transfer(network.client, direction, 4 << 20).sha256_equal
    transfers.stop()


@pytest.mark.parametrize("changed", SIDES)
def test_new_private_key_takes_effect_in_a_session(
    foreign_network: ForeignNetwork, changed: str
) -> None:
    pair = foreign_network.pair()
    pair.first_ping_ms()
    index = SIDES.index(changed)
    keys = Keys.generate()
    mine, theirs = pair.confs[index], pair.confs[1 - index]
    pair.reconfigure(changed, mine.replace(pair.keys[index].private, keys.private))
    other = SIDES[1 - index]
    pair.reconfigure(other, theirs.replace(pair.keys[index].public, keys.public))
    assert pair.first_ping_ms(by=changed) < 1_000 * (_RETRY_S + 1)
    assert pair.client.wg("show", "wg0", "peers" if index else "public-key").strip() == keys.public


def test_unknown_peer_gets_no_answer_and_is_counted(foreign_network: ForeignNetwork) -> None:
    pair = foreign_network.pair()
    unknown = Keys.generate()
    pair.reconfigure("gateway", pair.confs[1].replace(pair.keys[1].private, unknown.private))
    assert not is_answered(pair, "gateway")
    assert pair.client.counters()["handshake_drops"]["unknown_peer"] > 0
    assert (latest_handshake(pair.client), latest_handshake(pair.gateway)) == (0, 0)
    assert received_bytes(pair.gateway) == 0
    # With its own key back it gets one.
    pair.reconfigure("gateway", pair.confs[1])
    assert pair.first_ping_ms(by="gateway") < 1_000 * (_RETRY_S + 1)


def test_peer_answers_once_it_knows_our_key(foreign_network: ForeignNetwork) -> None:
    pair = foreign_network.pair()
    unknown = Keys.generate()
    pair.reconfigure("gateway", pair.confs[1].replace(pair.keys[0].public, unknown.public))
    assert not is_answered(pair, "client")
    assert latest_handshake(pair.client) == 0
    pair.reconfigure("gateway", pair.confs[1])
    options = ["-W", "12"]
    assert ping_ms(pair.client.at, TUNNEL["gateway"].v4, *options) < 1_000 * (2 * _RETRY_S)


def test_source_outside_allowed_ips_is_dropped_by_both(foreign_network: ForeignNetwork) -> None:
    pair = foreign_network.pair()
    pair.first_ping_ms()
    for number, (side, other) in enumerate((SIDES, SIDES[::-1]), 1):
        daemon = getattr(pair, side)
        spoofed = f"10.66.0.{number}"
        daemon.at.ip("address", "add", f"{spoofed}/32", "dev", "wg0")
        ping = ["ping", "-n", "-c", "2", "-i", "0.2", "-W", "1", "-I", spoofed]
        done = daemon.at.run(*ping, TUNNEL[other].v4, check=False)
        assert "2 packets transmitted, 0 " in done.stdout.replace("packets received", "")
        daemon.at.ip("address", "del", f"{spoofed}/32", "dev", "wg0")
    assert pair.client.counters()["inbound"]["drops"]["source_not_allowed"] == 2
    pair.first_ping_ms()


def test_crossed_initiations_give_one_session(foreign_network: ForeignNetwork) -> None:
    # Longer than it takes to start a ping on both sides; the guest's serial port is slow.
    pair, relay = foreign_network.relayed_pair("--delay-ms", "600")
    threads = [threading.Thread(target=is_answered, args=(pair, side, 3)) for side in SIDES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for side in SIDES:
        assert pair.first_ping_ms(by=side) >= 1_200
    messages = stop_relay(relay)["relayed"]
    initiations = [messages.get(f"{side} 1", 0) for side in ("near", "far")]
    assert any(initiations), messages
    if not all(initiations):
        pytest.skip(f"this machine was too slow for two initiations to cross: {messages}")


@pytest.mark.parametrize("restarted", SIDES)
def test_restarted_side_that_sends_needs_no_retry(
    foreign_network: ForeignNetwork, restarted: str
) -> None:
    pair = foreign_network.pair()
    pair.first_ping_ms()
    pair.restart(restarted)
    pair.first_ping_ms(by=restarted)


@pytest.mark.long
@pytest.mark.parametrize("restarted", SIDES)
def test_restarted_side_that_is_silent_is_reached_again(
    foreign_network: ForeignNetwork, restarted: str
) -> None:
    pair = foreign_network.pair()
    pair.first_ping_ms()
    pair.restart(restarted)
    other = SIDES[1 - SIDES.index(restarted)]
    started = time.monotonic()
    while not is_answered(pair, other):
        # Data without an answer for 15 s is followed by a handshake (whitepaper §6.2).
        assert time.monotonic() - started < 15 + _RETRY_S
    assert time.monotonic() - started > 10


@pytest.mark.parametrize("sender", SIDES)
def test_persistent_keepalives_are_sent_and_counted(
    foreign_network: ForeignNetwork, sender: str
) -> None:
    pair = foreign_network.pair()
    index = SIDES.index(sender)
    pair.reconfigure(sender, pair.confs[index] + "PersistentKeepalive = 1\n")
    pair.first_ping_ms(by=sender)
    time.sleep(0.3)
    other = getattr(pair, SIDES[1 - index])
    before, started = received_bytes(other), time.monotonic()
    time.sleep(2)
    if counts_keepalives(other):
        # One a second, one more or less at the edges; 32 bytes each.
        count = (received_bytes(other) - before) / 32
        assert 1 <= count <= time.monotonic() - started + 1
    if sender == "gateway":
        assert pair.client.counters()["datagrams"]["keepalives"] >= 1


@pytest.mark.long
@pytest.mark.parametrize("silent", SIDES)
def test_data_without_an_answer_gets_a_keepalive(
    foreign_network: ForeignNetwork, silent: str
) -> None:
    pair = foreign_network.pair()
    pair.first_ping_ms()
    other = SIDES[1 - SIDES.index(silent)]
    listener, talker = getattr(pair, silent), getattr(pair, other)
    if not counts_keepalives(talker):
        pytest.skip(f"{talker.implementation.name} does not count keepalives")
    if listener.implementation.name == "boringtun":
        pytest.skip("boringtun 0.7.1 sends none within 15 s")
    listener.at.sysctl("net.ipv4.icmp_echo_ignore_all", "1")
    try:
        before, sent = received_bytes(talker), time.monotonic()
        assert not is_answered(pair, other)
        while received_bytes(talker) == before:
            assert time.monotonic() < sent + 15
            time.sleep(0.1)
        # 10 s after the data (whitepaper §6.5).
        assert 9.5 < time.monotonic() - sent < 12
        assert received_bytes(talker) == before + 32
    finally:
        listener.at.sysctl("net.ipv4.icmp_echo_ignore_all", "0")


@pytest.mark.parametrize("loaded", SIDES)
@pytest.mark.timeout(60)
def test_cookie_gives_a_session_under_load(foreign_network: ForeignNetwork, loaded: str) -> None:
    pair = foreign_network.pair()
    index = SIDES.index(loaded)
    other = SIDES[1 - index]
    # From the namespace at the other end of the link, also if the daemon there runs in a guest.
    machine = getattr(foreign_network.network, other)
    target = [OUTER[loaded].v4, "51820", pair.keys[index].public]
    flood = machine.start(*_FLOOD, *target, "12")
    flood.wait_for("flooding")
    time.sleep(0.5)
    address = TUNNEL[loaded].v4
    took_ms = ping_ms(getattr(pair, other).at, address, "-W", "12")
    flood.stop()
    assert took_ms < 1_000 * (2 * _RETRY_S)
    if loaded == "client" and not pair.client.counters()["handshake_drops"]["cookie_required"]:
        pytest.skip("this machine was too slow for the flood to be a load")


def is_answered(pair: Pair, by: str, within_s: int = 1) -> bool:
    """Whether the other end answers one ping."""
    other = SIDES[1 - SIDES.index(by)]
    ping = ["ping", "-n", "-c", "1", "-W", str(within_s), TUNNEL[other].v4]
    daemon = pair.client if by == "client" else pair.gateway
    return daemon.at.run(*ping, check=False).returncode == 0


def counts_keepalives(daemon: Daemon) -> bool:
    """Whether `wg show` counts a keepalive as received bytes."""
    implementation = daemon.implementation
    return not isinstance(implementation, Peer) or implementation.counts_keepalives
