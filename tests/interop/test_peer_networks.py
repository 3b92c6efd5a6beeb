"""pyfw and other WireGuard implementations: roaming, NAT, and the renewal of a session."""

import time
from collections.abc import Callable

import pytest

from lab import BEHIND, OUTER, TUNNEL, Network, Pair, Stream, Unavailable, pyfw_wg
from pyfw.demo.pair import ping_ms
from tests.interop.conftest import PEERS
from tests.interop.foreign_network import ForeignNetwork, endpoint, latest_handshake, stop_relay
from tests.interop.invariants import assert_invariants

# An emulated guest is slow, and a busy machine adds to it.
_MOMENT_S = 0.5
# Debian's wireguard-go (2022) waits for its route to change; boringtun (0.7.1) connects its socket.
_DO_NOT_ROAM = ("wireguard-go", "boringtun")


def stream_to_server(
    pair: Pair, seconds: float, during: Callable[[], object], *, per_second: int = 500
) -> Stream:
    """Runs a stream between client (one) and server (two); `during` is called while it runs."""
    network = pair.network
    # For neighbour discovery behind the gateway.
    ping_ms(network.client, BEHIND["server"].v4)
    ends = (network.client, network.server, TUNNEL["client"].v4, BEHIND["server"].v4)
    with Stream(*ends, per_second=per_second) as stream:
        time.sleep(0.3)
        during()
        time.sleep(seconds)
    return stream


def test_peer_follows_our_new_address(foreign_network: ForeignNetwork) -> None:
    pair = foreign_network.pair()
    pair.first_ping_ms()

    def move() -> None:
        pair.client.at.ip("address", "add", "192.0.2.77/24", "dev", "outer")
        pair.client.at.ip("address", "del", f"{OUTER['client'].v4}/24", "dev", "outer")

    pair.client.at.sysctl("net.ipv4.conf.all.promote_secondaries", "1")
    stream = stream_to_server(pair, 1, move)
    for direction in (stream.up, stream.down):
        assert direction.longest_silence_s - direction.own_pause_s < _MOMENT_S, stream
    assert endpoint(pair.gateway) == "192.0.2.77:51820"


def test_pyfw_follows_the_peers_new_address(foreign_network: ForeignNetwork) -> None:
    if foreign_network.foreign.name in _DO_NOT_ROAM:
        pytest.skip(f"{foreign_network.foreign.name} keeps a source address that is gone")
    pair = foreign_network.pair()
    pair.first_ping_ms()
    device = "eth0" if foreign_network.foreign.name == "kernel" else "outer"
    gateway = pair.gateway.at
    gateway.sysctl("net.ipv4.conf.all.promote_secondaries", "1")
    old, new = f"{OUTER['gateway'].v4}/24", "192.0.2.88/24"
    gateway.ip("address", "add", new, "dev", device)
    gateway.ip("address", "del", old, "dev", device)
    try:
        # A socket with a source address that is gone notices at its first send, which may be lost.
        gateway.run(
            "ping", "-n", "-c", "2", "-i", "0.5", "-W", "1", TUNNEL["client"].v4, check=False
        )
        pair.first_ping_ms(by="gateway")
        assert endpoint(pair.client) == "192.0.2.88:51820"
        pair.first_ping_ms()
    finally:
        gateway.ip("address", "add", old, "dev", device)
        gateway.ip("address", "del", new, "dev", device)


def test_nat_that_rebinds_every_second_loses_nothing_up(foreign_network: ForeignNetwork) -> None:
    pair, relay = foreign_network.relayed_pair("--rebind-ms", "1000")
    pair.first_ping_ms()
    stream = stream_to_server(pair, 3, lambda: None)
    ports = stop_relay(relay)["ports"]
    assert len(ports) >= 4
    # Datagrams towards the client are lost if they are in flight when the NAT rebinds.
    assert stream.up.lost == 0, stream
    assert stream.up.out_of_order == stream.down.out_of_order == 0, stream
    assert stream.down.lost <= len(ports) * 0.05 * 500, stream


@pytest.mark.long
@pytest.mark.timeout(400)
def test_sessions_are_renewed_without_loss() -> None:
    """With all peers at once, as each takes over two minutes: new keys after 120 s (whitepaper §6.1)."""
    pairs: list[Pair] = []
    networks: list[Network] = []
    try:
        for make in (pyfw_wg, *PEERS.values()):
            try:
                peer = make()
            except Unavailable as reason:
                print(f"without: {reason}")
                continue
            networks.append(Network())
            pairs.append(Pair(networks[-1], pyfw_wg(), peer))
            pairs[-1].first_ping_ms()
        first = [latest_handshake(pair.client) for pair in pairs]
        streams = []
        for pair in pairs:
            ends = (pair.client.at, pair.gateway.at, TUNNEL["client"].v4, TUNNEL["gateway"].v4)
            streams.append(Stream(*ends, per_second=20).__enter__())
        time.sleep(135)
        for stream in streams:
            stream.stop()
        for pair, before, stream in zip(pairs, first, streams, strict=True):
            name = pair.gateway.implementation.name
            assert latest_handshake(pair.client) >= before + 119, name
            assert (stream.up.lost, stream.down.lost) == (0, 0), f"{name}: {stream}"
            assert stream.up.out_of_order == stream.down.out_of_order == 0, f"{name}: {stream}"
            assert_invariants(pair)
    finally:
        for network in networks:
            network.close()


@pytest.mark.long
@pytest.mark.timeout(300)
def test_session_with_the_kernel_is_renewed(foreign_network: ForeignNetwork) -> None:
    if foreign_network.foreign.name != "kernel":
        pytest.skip("the other peers are tested all at once")
    pair = foreign_network.pair()
    pair.first_ping_ms()
    before = latest_handshake(pair.client)
    stream = stream_to_server(pair, 135, lambda: None, per_second=20)
    assert latest_handshake(pair.client) >= before + 119
    assert (stream.up.lost, stream.down.lost) == (0, 0), stream
