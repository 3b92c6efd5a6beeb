"""Fixtures of the wire tests: the network, the pairs of daemons, the judge after each test."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import (
    Implementation,
    Network,
    Pair,
    Unavailable,
    boringtun,
    gotatun,
    kernel_peer,
    newest_wireguard_go,
    pyfw_wg,
    unavailable,
    wireguard_go,
)
from tests.interop.foreign_network import ForeignNetwork
from tests.interop.judge import judge

# Who is client and who is gateway. wireguard-go is Debian's: any other WireGuard has to do as well.
Make = Callable[[], Implementation]
PAIRS: dict[str, tuple[Make, Make]] = {
    "pyfw-wireguard_go": (pyfw_wg, wireguard_go),
    "wireguard_go-pyfw": (wireguard_go, pyfw_wg),
    "pyfw-pyfw": (pyfw_wg, pyfw_wg),
}
_FOLDER = "tests/interop/"

FOREIGN: dict[str, Make] = {
    "wireguard_go": wireguard_go,
    "newest_wireguard_go": newest_wireguard_go,
    "boringtun": boringtun,
    "gotatun": gotatun,
}
# The kernel's own needs an image, which is built once a session: see `kernel`.
FOREIGN_NAMES = [*FOREIGN, "kernel"]

MakePair = Callable[..., Pair]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ours = [item for item in items if _FOLDER in item.nodeid]
    reason = unavailable()
    for item in ours:
        item.add_marker(pytest.mark.netns)
        if any(name in item.name for name in FOREIGN_NAMES):
            item.add_marker(pytest.mark.interop)
        if reason:
            item.add_marker(pytest.mark.skip(reason=f"no namespaces: {reason}"))


def found(make: Make) -> Implementation:
    """The implementation, or a skip that says why not."""
    try:
        return make()
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def kernel_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guest that has the kernel's WireGuard."""
    try:
        return kernel_peer.build(tmp_path_factory.mktemp("kernel") / "image")
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module", params=FOREIGN_NAMES)
def foreign(request: pytest.FixtureRequest) -> Iterator[Implementation]:
    """Each other WireGuard; the tests of those that are not here are skipped."""
    if request.param != "kernel":
        yield found(FOREIGN[request.param])
        return
    kernel = kernel_peer.Kernel(image=request.getfixturevalue("kernel_image"))
    yield kernel
    kernel.close()


@pytest.fixture(scope="module")
def place(foreign: Implementation) -> Iterator[tuple[Network, Implementation]]:
    """A network where pyfw, the client, meets another WireGuard, the gateway."""
    with Network() as network:
        yield network, foreign


@pytest.fixture
def foreign_network(place: tuple[Network, Implementation]) -> Iterator[ForeignNetwork]:
    """Makes pairs there, one at a time; the last one is judged after the test, and all is undone."""
    shared = ForeignNetwork(*place)
    yield shared
    shared.end()


@pytest.fixture(scope="module", params=list(PAIRS))
def tunnel(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """A tunnel that is up, shared by the tests of a module, once for each pair of daemons."""
    client, gateway = (found(make) for make in PAIRS[request.param])
    with Network() as network:
        pair = Pair(network, client, gateway)
        pair.first_ping_ms()
        yield pair


@pytest.fixture
def judged(tunnel: Pair) -> Iterator[Pair]:
    """The shared tunnel, judged after the test."""
    yield tunnel
    judge(tunnel)


@pytest.fixture
def network() -> Iterator[Network]:
    """A network of one's own."""
    with Network() as network:
        yield network


@pytest.fixture
def make_pair(network: Network) -> Iterator[MakePair]:
    """Makes a pair in the test's network; it is judged after the test. In another one it is not."""
    own = network
    pairs: list[Pair] = []

    def make(
        client: Make,
        gateway: Make,
        *,
        network: Network | None = None,
        **options: Any,
    ) -> Pair:
        pair = Pair(network or own, found(client), found(gateway), **options)
        if network is None:
            pairs.append(pair)
        return pair

    yield make
    for pair in pairs:
        judge(pair)


@pytest.fixture(params=list(PAIRS))
def fresh(request: pytest.FixtureRequest, make_pair: MakePair) -> Callable[..., Pair]:
    """Makes a tunnel that is not up yet, once for each pair of daemons."""

    def make(**options: Any) -> Pair:
        return make_pair(*PAIRS[request.param], **options)

    return make
