"""Order where it is hardest to keep: pyfw on both ends, in every mode it has.

Late counters are judged after each test; here the receiving kernel is asked as well.
"""

from collections.abc import Callable

import pytest

from lab import BEHIND, Implementation, Network, Pair, pyfw_run
from pyfw.demo.transfer import TransferServer, datagrams
from tests.interop.conftest import MakePair
from tests.interop.judge import assert_in_order

_BULK = 96 << 20

MODES = {
    "as it comes": "",
    "two threads": "threads = 2",
    "ring": 'cipher = "ring"',
    "ipsec-mb": 'cipher = "ipsec-mb"',
    "without UDP GSO": "[offloads]\nudp_gso = false",
    "without UDP GRO": "[offloads]\nudp_gro = false",
    "without TSO": "[offloads]\ntso = false",
    "without USO": "[offloads]\nuso = false",
    "without any offload": "[offloads]\nudp_gso = false\nudp_gro = false\ntso = false\nuso = false",
    "with PSH closing frames": '[coalesce]\npsh = "close"',
    "two threads without UDP GRO": "threads = 2\n[offloads]\nudp_gro = false",
}

# Every fifth packet is marked, so the ECN field of one flow changes all the time.
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
    """Pyfw, run in that mode; skipped where the machine has no such cipher."""

    def make() -> Implementation:
        if mode == "ipsec-mb" and not any(name.startswith("ipsec-mb") for name in ciphers()):
            pytest.skip("no usable libIPSec_MB (Debian: libipsec-mb1 or -mb2)")
        return pyfw_run(MODES[mode])

    return make


def ciphers() -> list[str]:
    from pyfw import _native

    return _native.ciphers()


@pytest.mark.parametrize("mode", list(MODES))
def test_one_flow_stays_in_order_in_each_mode(make_pair: MakePair, mode: str) -> None:
    pair = make_pair(implementation(mode), implementation(mode))
    pair.first_ping_ms()
    assert_flow_in_order(pair, "up")
    assert_flow_in_order(pair, "down")


@pytest.mark.parametrize("mode", ["as it comes", "two threads"])
@pytest.mark.parametrize("version", [4, 6])
def test_a_flow_whose_ecn_changes_stays_in_order(
    make_pair: MakePair, mode: str, version: int
) -> None:
    pair = make_pair(implementation(mode), implementation(mode))
    pair.first_ping_ms()
    for machine in (pair.network.client, pair.network.server):
        machine.run("nft", "-f", "-", stdin=_MARK_SOME.replace("wg0", outgoing(pair, machine.name)))
    assert_flow_in_order(pair, "up", version)
    assert_flow_in_order(pair, "down", version)


@pytest.mark.parametrize("mode", ["as it comes", "two threads"])
def test_mixed_lengths_of_one_flow_stay_in_order(make_pair: MakePair, mode: str) -> None:
    pair = make_pair(implementation(mode), implementation(mode))
    pair.first_ping_ms()
    network, address = pair.network, BEHIND["server"].v4
    result = datagrams(network.client, network.server, address, 8000, lengths="1-1392", ecn="0,0,2")
    assert result.difference is None


def test_a_peer_that_restarts_under_load_is_taken_back(
    network: Network, make_pair: MakePair
) -> None:
    pair = make_pair(pyfw_run, pyfw_run)
    pair.first_ping_ms()
    serving = TransferServer(network.server, BEHIND["server"].v4)
    # The gateway has data to send, so it is the gateway that shakes hands again.
    transfer = serving.start(network.client, "down", 4 * _BULK)
    while network.server.counters().interfaces["eth0"]["out_bytes"] < _BULK // 4:
        assert transfer.returncode is None
    pair.restart("gateway")
    assert '"received_sha256"' in transfer.wait(40)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_rekey_under_load_loses_and_reorders_nothing(
    network: Network, make_pair: MakePair
) -> None:
    pair = make_pair(pyfw_run, pyfw_run)
    pair.first_ping_ms()
    first = latest_handshake(pair)
    network.server.start("iperf3", "--server", "--one-off", "--bind", BEHIND["server"].v4)
    before = network.server.counters()
    # The initiator asks for new keys after 120 s (whitepaper §6.1).
    network.client.start(
        *("iperf3", "--client", BEHIND["server"].v4, "--time", "130", "--bitrate", "2G")
    ).wait(150)
    assert latest_handshake(pair) >= first + 120
    assert (network.server.counters() - before).out_of_order == 0


def assert_flow_in_order(pair: Pair, direction: str, version: int = 4) -> None:
    client, server = pair.network.client, pair.network.server
    receiver = server if direction == "up" else client
    serving = TransferServer(server, BEHIND["server"].of(version))
    before = receiver.counters()
    transfer = serving.transfer(client, direction, _BULK)
    serving.stop()
    assert transfer.sha256_equal
    assert_in_order(pair, receiver.counters() - before)


def latest_handshake(pair: Pair) -> int:
    return int(pair.client.wg("show", "wg0", "latest-handshakes").split()[1])


def outgoing(pair: Pair, name: str) -> str:
    """Where a machine's packets towards the tunnel leave."""
    return "wg0" if name == "client" else "eth0"
