"""NAPI on the veth, and UDP transfers compared datagram by datagram."""

import sys
from collections.abc import Iterator

import pytest

from lab import BEHIND, OUTER, Namespace, Network, unavailable
from lab.datagrams import send_datagrams
from pyfw.demo.transfer import TransferServer

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(unavailable() is not None, reason=f"no namespaces: {unavailable()}"),
]

_READ_FORWARDING = """
import sys
from pyroute2 import Ethtool
with Ethtool() as ethtool:
    print(ethtool.get_features(sys.argv[1]).features["rx-udp-gro-forwarding"].enable)
"""


def receive_options(machine: Namespace) -> tuple[str, bool]:
    """The CPU mask that `outer` steers to, and whether it forwards merged UDP."""
    steering = machine.run("cat", "/sys/class/net/outer/queues/rx-0/rps_cpus").stdout.strip()
    forwarding = machine.run(sys.executable, "-c", _READ_FORWARDING, "outer").stdout.strip()
    return steering, forwarding == "True"


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with Network() as network:
        yield network


def test_outer_link_is_steered_to_one_cpu_by_default(network: Network) -> None:
    assert receive_options(network.client) == ("1", False)


def test_datagrams_are_compared_with_their_ecn(network: Network) -> None:
    address = BEHIND["server"].v6
    result = send_datagrams(network.gateway, network.server, address, 100, ecn="0,1,2,3")
    assert result.difference is None
    assert result.received_ecn == {"0": 25, "1": 25, "2": 25, "3": 25}


def test_outer_link_uses_napi_on_request(capfd: pytest.CaptureFixture[str]) -> None:
    with Network(napi=True) as napi:
        if "receives without NAPI" in capfd.readouterr().err:
            pytest.skip("the kernel cannot forward merged UDP (before 5.13)")
        assert receive_options(napi.client) == ("0", True)
        server = TransferServer(napi.gateway, OUTER["gateway"].v4)
        assert server.transfer(napi.client, "up", 10_000_001).sha256_equal
