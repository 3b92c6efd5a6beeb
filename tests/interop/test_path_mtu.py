"""Path MTU: packets that are too big are answered inside the tunnel, and senders adapt."""

import re
import statistics
import time
from collections.abc import Iterator

import pytest

from lab import BEHIND, TUNNEL, Host, Namespace, RoutedNetwork, pyfw_run
from lab.download import Download
from tests.interop.conftest import MakePair
from tests.interop.invariants import settled_counters

LOWERED = 1340
# Minus IPv4 (20), UDP (8) and WireGuard (32).
INNER = 1280
# The time to adapt, which is not measured.
_ADAPTED_S = 2.0
_NETWORKS = {"near": "192.0.2.0/24", "far": "203.0.113.0/24"}
_WATCH = """
table inet watch {
    counter long { }
    counter fragments { }
    chain passing {
        type filter hook prerouting priority 0
        iifname { "near", "far" } ip length > %d counter name "long"
        iifname { "near", "far" } ip frag-off & 0x3fff != 0 counter name "fragments"
    }
}
"""


@pytest.fixture
def routed() -> Iterator[RoutedNetwork]:
    with RoutedNetwork() as network:
        yield network


def lower(router: Namespace, mtu: int = LOWERED) -> None:
    """Lowers the MTU of the router's routes; the router reports it by ICMP."""
    for interface, network in _NETWORKS.items():
        router.ip("route", "change", network, "dev", interface, "mtu", "lock", str(mtu))


def restore(router: Namespace) -> None:
    """Restores the MTU of the links."""
    for interface, network in _NETWORKS.items():
        router.ip("route", "change", network, "dev", interface)


def disable_gso(network: RoutedNetwork) -> None:
    """Disables super-packets on the outer links, so that the router sees the length of each packet."""
    for machine in (network.client, network.gateway):
        machine.ip("link", "set", "outer", "gso_max_segs", "1")


def watched(router: Namespace) -> dict[str, int]:
    """Returns how many long packets and fragments the router has received since the last call."""
    output = router.run("nft", "reset", "counters", "table", "inet", "watch").stdout
    found = re.findall(r"counter (\w+) {\s+packets (\d+)", output)
    return {name: int(count) for name, count in found}


@pytest.mark.parametrize("version", [4, 6])
def test_a_packet_too_big_for_the_path_is_answered(
    routed: RoutedNetwork, make_pair: MakePair, version: int
) -> None:
    pair = make_pair(pyfw_run, pyfw_run, network=routed)
    pair.first_ping_ms()
    lower(routed.router)
    address = TUNNEL["client"].of(version)
    assert reported_mtu(routed.gateway, address) == INNER
    assert reported_mtu(routed.server, address) == INNER
    # A packet that fits is answered.
    headers = 28 if version == 4 else 48
    assert can_ping_with_df(routed.server, address, INNER - headers)
    counters = settled_counters(pair.gateway)
    assert counters["outbound"]["drops"]["too_big"] > 0
    assert counters["inbound"]["created"] > 0
    assert "path.mtu_learnt" in pair.gateway.process.output()


def test_after_adapting_no_packet_is_too_long(routed: RoutedNetwork, make_pair: MakePair) -> None:
    pair = make_pair(pyfw_run, pyfw_run, network=routed)
    pair.first_ping_ms()
    disable_gso(routed)
    routed.router.run("nft", "-f", "-", stdin=_WATCH % LOWERED)
    download = Download(routed.server, routed.client, BEHIND["server"].v4, 3)
    time.sleep(1)
    lower(routed.router)
    time.sleep(1)
    assert watched(routed.router)["long"] > 0
    time.sleep(0.5)
    assert watched(routed.router) == {"long": 0, "fragments": 0}
    assert download.finish().samples[-1][1] > 0
    for daemon in pair.daemons:
        settled_counters(daemon)


def test_a_lower_mtu_of_the_own_link_is_followed(
    routed: RoutedNetwork, make_pair: MakePair
) -> None:
    pair = make_pair(pyfw_run, pyfw_run, network=routed)
    pair.first_ping_ms()
    disable_gso(routed)
    routed.router.run("nft", "-f", "-", stdin=_WATCH % LOWERED)
    download = Download(routed.server, routed.client, BEHIND["server"].v4, 3)
    time.sleep(1)
    routed.gateway.ip("link", "set", "outer", "mtu", str(LOWERED))
    time.sleep(1)
    watched(routed.router)
    time.sleep(0.5)
    assert watched(routed.router) == {"long": 0, "fragments": 0}
    download.finish()
    settled_counters(pair.gateway)


def test_a_larger_path_mtu_is_used_again(routed: RoutedNetwork, make_pair: MakePair) -> None:
    pair = make_pair(pyfw_run, pyfw_run, network=routed)
    pair.first_ping_ms()
    # The kernel caches a path MTU for 10 minutes; here for 3 s.
    routed.gateway.sysctl("net.ipv4.route.mtu_expires", "3")
    lower(routed.router)
    assert reported_mtu(routed.gateway, TUNNEL["client"].v4) == INNER
    restore(routed.router)
    deadline = time.monotonic() + 10
    while not can_ping_with_df(routed.gateway, TUNNEL["client"].v4, 1420 - 28):
        assert time.monotonic() < deadline


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_download_keeps_its_speed_on_a_narrower_path(make_pair: MakePair) -> None:
    adapted, configured = [], []
    for _ in range(5):
        adapted.append(goodput(make_pair, mtu=1420, is_lowered_first=False))
        configured.append(goodput(make_pair, mtu=INNER, is_lowered_first=True))
    print(f"adapted: {adapted} Mbit/s; configured: {configured} Mbit/s")
    assert statistics.median(adapted) >= 0.8 * statistics.median(configured)


def goodput(make_pair: MakePair, mtu: int, *, is_lowered_first: bool) -> float:
    """Returns the Mbit/s of a download for 2 s, from 2 s after its path MTU was lowered."""
    with RoutedNetwork() as network:
        if is_lowered_first:
            lower(network.router)
        pair = make_pair(pyfw_run, pyfw_run, network=network, mtu=mtu)
        pair.first_ping_ms()
        download = Download(network.server, network.client, BEHIND["server"].v4, 6)
        time.sleep(1.5)
        lowered = time.monotonic()
        if not is_lowered_first:
            lower(network.router)
        result = download.finish()
        return result.mbit_s(lowered + _ADAPTED_S, lowered + _ADAPTED_S + 2)


def reported_mtu(at: Host, address: str) -> int | None:
    """Returns the MTU reported to a ping of full size with DF within 3 s."""
    size = 1420 - (48 if ":" in address else 28)
    ping = f"stdbuf -oL ping -n -c 15 -i 0.2 -W 1 -M do -s {size} {address} 2>&1"
    # grep exits at the first report, and ping at its next line.
    found = at.run("sh", "-c", f"{ping} | grep -m 1 -oE 'mtu[ =:]+[0-9]+'", check=False).stdout
    return int(re.sub(r"\D", "", found)) if found else None


def can_ping_with_df(at: Host, address: str, size: int) -> bool:
    """Whether a ping with this payload and DF is answered."""
    ping = ["ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", str(size), address]
    return at.run(*ping, check=False).returncode == 0
