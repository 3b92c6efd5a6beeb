"""Fixtures of the fault tests: a network, and tunnels whose gateway runs a stage."""

from collections.abc import Callable, Iterator

import pytest

from lab import Network, unavailable
from tests.faults.staged_tunnel import StagedTunnel

MakeTunnel = Callable[..., StagedTunnel]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = unavailable()
    for item in items:
        if "tests/faults/" in item.nodeid and "network" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.netns)
            if reason:
                item.add_marker(pytest.mark.skip(reason=f"no namespaces: {reason}"))


@pytest.fixture
def network() -> Iterator[Network]:
    with Network() as network:
        yield network


@pytest.fixture
def make_tunnel(network: Network) -> Iterator[MakeTunnel]:
    """Makes tunnels with a stage; after the test, conservation is asserted for each."""
    tunnels: list[StagedTunnel] = []

    def make(source: str, table: str = "", **options: object) -> StagedTunnel:
        tunnels.append(StagedTunnel(network, source, table, **options))  # type: ignore[arg-type]
        return tunnels[-1]

    yield make
    for tunnel in tunnels:
        tunnel.assert_conserved()
