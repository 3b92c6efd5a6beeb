"""pyfw at both ends keeps order in every mode.

The fixtures check the late counters after each test; these tests also check the receiving kernel.
"""

import time
from collections.abc import Callable

import pytest

from lab import BEHIND, Implementation, Network, Pair, pyfw_run
from lab.datagrams import send_datagrams
from pyfw.demo.transfer import TransferServer
from tests.interop.conftest import MakePair
from tests.interop.foreign_network import latest_handshake
from tests.interop.invariants import tcp_in_order

_BULK = 12 << 20

# The default cipher is ipsec-mb if it is installed, else ring.
MODES = {
    "default": "",
    "two threads": "threads = 2",
    "ring": 'cipher = "ring"',
    "without UDP GSO": "[offloads]\nudp_gso = false",
    "without UDP GRO": "[offloads]\nudp_gro = false",
    "without TSO": "[offloads]\ntso = false",
    "without USO": "[offloads]\nuso = false",
    "without any offload": "[offloads]\nudp_gso = false\nudp_gro = false\ntso = false\nuso = false",
    "with PSH closing frames": '[coalesce]\npsh = "close"',
    "two threads without UDP GRO": "threads = 2\n[offloads]\nudp_gro = false",
}

# Marks every fifth packet, so that the ECN field of a flow keeps changing.
_MARK_SOME = """
table inet lab {
    chain leaving {
        type filter hook output priority 0
        oifname wg0 ip version 4 meta l4proto tcp numgen inc mod 5 == 0 ip ecn set ce
        oifname wg0 meta nfproto ipv6 meta l4proto tcp numgen inc mod 5 == 0 ip6 ecn set ce
    }
}
"""


def implementation(mode: str) -> Callable[[], Implementation]:
    return lambda: pyfw_run(MODES[mode])


@pytest.mark.parametrize("mode", list(MODES))
def test_flow_stays_in_order_in_each_mode(make_pair_in_module: MakePair, mode: str) -> None:
    pair = make_pair_in_module(implementation(mode), implementation(mode))
    pair.first_ping_ms()
    assert_flows_in_order(pair)


@pytest.mark.parametrize("mode", ["default", "two threads"])
def test_changing_ecn_does_not_reorder_a_flow(make_pair_in_module: MakePair, mode: str) -> None:
    pair = make_pair_in_module(implementation(mode), implementation(mode))
    pair.first_ping_ms()
    network = pair.network
    # Where packets leave towards the tunnel.
    for machine, interface in ((network.client, "wg0"), (network.server, "eth0")):
        machine.run("nft", "-f", "-", stdin=_MARK_SOME.replace("wg0", interface))
    try:
        for version in (4, 6):
            assert_flows_in_order(pair, version)
    finally:
        for machine in (network.client, network.server):
            machine.run("nft", "flush", "ruleset")


@pytest.mark.parametrize("mode", ["default", "two threads"])
def test_mixed_lengths_of_a_flow_stay_in_order(make_pair_in_module: MakePair, mode: str) -> None:
    pair = make_pair_in_module(implementation(mode), implementation(mode))
    pair.first_ping_ms()
    network, address = pair.network, BEHIND["server"].v4
    result = send_datagrams(
        network.client, network.server, address, 3000, lengths="1-1392", ecn="0,0,2"
    )
    assert result.difference is None


def test_peer_that_restarts_under_load_recovers(network: Network, make_pair: MakePair) -> None:
    pair = make_pair(pyfw_run, pyfw_run)
    pair.first_ping_ms()
    server = TransferServer(network.server, BEHIND["server"].v4)
    # The gateway sends the data, so it starts the next handshake.
    transfer = server.start(network.client, "down", 192 << 20)
    while network.server.counters().interfaces["eth0"]["out_bytes"] < 16 << 20:
        assert transfer.returncode is None
        time.sleep(0.01)
    pair.restart("gateway")
    assert '"received_sha256"' in transfer.wait(40)


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.timeout(240)
def test_rekey_under_load_loses_and_reorders_nothing(network: Network, make_pair: MakePair) -> None:
    pair = make_pair(pyfw_run, pyfw_run)
    pair.first_ping_ms()
    first = latest_handshake(pair.client)
    server = ("iperf3", "--server", "--one-off", "--forceflush", "--bind", BEHIND["server"].v4)
    network.server.start(*server).wait_for("Server listening")
    before = network.server.counters()
    # The initiator asks for new keys after 120 s (whitepaper §6.1).
    network.client.start(
        *("iperf3", "--client", BEHIND["server"].v4, "--time", "130", "--bitrate", "2G")
    ).wait(150)
    assert latest_handshake(pair.client) >= first + 120
    assert (network.server.counters() - before).out_of_order == 0


def assert_flows_in_order(pair: Pair, version: int = 4) -> None:
    """Transfers up, then down."""
    client, server = pair.network.client, pair.network.server
    transfers = TransferServer(server, BEHIND["server"].of(version))
    for direction, receiver in (("up", server), ("down", client)):
        with tcp_in_order(pair, receiver):
            transfer = transfers.transfer(client, direction, _BULK)
        assert transfer.sha256_equal, direction
    transfers.stop()
