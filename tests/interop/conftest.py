"""Fixtures: networks, pairs of daemons, and the check of their invariants after each test."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import (
    Implementation,
    Network,
    Pair,
    Unavailable,
    kernel_peer,
    pyfw_wg,
    unavailable,
)
from lab.peers import boringtun, gotatun, newest_wireguard_go, wireguard_go
from tests.interop.foreign_network import ForeignNetwork
from tests.interop.invariants import assert_invariants

Make = Callable[[], Implementation]
MakePair = Callable[..., Pair]

# Client and gateway. wireguard-go, from Debian, stands for all other implementations. Tests that send both
# ways meet it in either role, so the second pair is for the long runs.
PAIRS: dict[str, tuple[Make, Make]] = {
    "pyfw-wireguard_go": (pyfw_wg, wireguard_go),
    "wireguard_go-pyfw": (wireguard_go, pyfw_wg),
    "pyfw-pyfw": (pyfw_wg, pyfw_wg),
}
_PAIR_NAMES = [
    "pyfw-wireguard_go",
    pytest.param("wireguard_go-pyfw", marks=pytest.mark.long),
    "pyfw-pyfw",
]
PEERS: dict[str, Make] = {
    "wireguard_go": wireguard_go,
    "newest_wireguard_go": newest_wireguard_go,
    "boringtun": boringtun,
    "gotatun": gotatun,
}
# The kernel's WireGuard needs an image: see `kernel_image`.
_PEER_NAMES = [*PEERS, "kernel"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = unavailable()
    for item in items:
        if "tests/interop/" not in item.nodeid:
            continue
        item.add_marker(pytest.mark.netns)
        if any(name in item.name for name in _PEER_NAMES):
            item.add_marker(pytest.mark.interop)
        if reason:
            item.add_marker(pytest.mark.skip(reason=f"no namespaces: {reason}"))


def available(make: Make) -> Implementation:
    """Returns the implementation, or skips the test with the reason."""
    try:
        return make()
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def kernel_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image of the virtual machine with the kernel's WireGuard."""
    try:
        return kernel_peer.build(tmp_path_factory.mktemp("kernel") / "image")
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(
    scope="module",
    params=[
        "wireguard_go",
        *(pytest.param(name, marks=pytest.mark.long) for name in _PEER_NAMES[1:]),
    ],
)
def peer(request: pytest.FixtureRequest) -> Iterator[Implementation]:
    """Another WireGuard; tests of those that are not installed are skipped."""
    if request.param != "kernel":
        yield available(PEERS[request.param])
        return
    kernel = kernel_peer.Kernel(image=request.getfixturevalue("kernel_image"))
    yield kernel
    kernel.close()


@pytest.fixture(scope="module")
def peer_network(peer: Implementation) -> Iterator[tuple[Network, Implementation]]:
    """A network with pyfw as the client and another WireGuard as the gateway."""
    with Network() as network:
        yield network, peer


@pytest.fixture
def foreign_network(peer_network: tuple[Network, Implementation]) -> Iterator[ForeignNetwork]:
    """Makes one pair in that network; its invariants are checked after the test, and all is undone."""
    foreign_network = ForeignNetwork(*peer_network)
    yield foreign_network
    foreign_network.end()


@pytest.fixture(scope="module", params=_PAIR_NAMES)
def module_tunnel(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """A tunnel that is up, shared by the tests of a module, for each pair of implementations."""
    client, gateway = (available(make) for make in PAIRS[request.param])
    with Network() as network:
        pair = Pair(network, client, gateway)
        pair.first_ping_ms()
        yield pair


@pytest.fixture
def tunnel(module_tunnel: Pair) -> Iterator[Pair]:
    """The shared tunnel; its invariants are checked after the test."""
    yield module_tunnel
    assert_invariants(module_tunnel)


@pytest.fixture
def network() -> Iterator[Network]:
    """A network for one test."""
    with Network() as network:
        yield network


@pytest.fixture
def make_pair(network: Network) -> Iterator[MakePair]:
    """Makes pairs in the test's network; their invariants are checked after the test.

    Of a pair in another network they are not: that network may be gone by then.
    """
    pairs: list[Pair] = []
    own = network

    def make(
        client: Make, gateway: Make, *, network: Network | None = None, **options: Any
    ) -> Pair:
        pair = Pair(network or own, available(client), available(gateway), **options)
        if network is None:
            pairs.append(pair)
        return pair

    yield make
    for pair in pairs:
        assert_invariants(pair)


@pytest.fixture(scope="module")
def module_network() -> Iterator[Network]:
    """A network shared by the tests of a module, which leave it as they found it."""
    with Network() as network:
        yield network


@pytest.fixture
def make_pair_in_module(module_network: Network) -> Iterator[MakePair]:
    """Makes one pair in the shared network; its invariants are checked after the test, and it is stopped."""
    pairs: list[Pair] = []

    def make(client: Make, gateway: Make, **options: Any) -> Pair:
        assert not pairs, "one pair per test"
        pairs.append(Pair(module_network, available(client), available(gateway), **options))
        return pairs[-1]

    yield make
    try:
        for pair in pairs:
            assert_invariants(pair)
    finally:
        for machine in module_network.machines:
            machine.stop_processes()
            machine.run("rm", "-f", "/run/wg0.pyfw.toml")


@pytest.fixture(params=_PAIR_NAMES)
def fresh(request: pytest.FixtureRequest, make_pair: MakePair) -> Callable[..., Pair]:
    """Makes a pair whose tunnel has not carried anything yet, for each pair of implementations."""

    def make(**options: Any) -> Pair:
        return make_pair(*PAIRS[request.param], **options)

    return make
