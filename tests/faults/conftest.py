"""Fixtures of the fault tests: a network, and a tunnel whose gateway has stages, judged at its end."""

from collections.abc import Callable, Iterator

import pytest

from lab import Network, unavailable
from tests.faults.staged_tunnel import Staged

MakeStaged = Callable[..., Staged]


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
def make_staged(network: Network) -> Iterator[MakeStaged]:
    """Makes a tunnel with stages in the test's network; it is judged after the test, unless it has ended."""
    made: list[Staged] = []

    def make(source: str, table: str = "", **options: object) -> Staged:
        made.append(Staged(network, source, table, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for staged in made:
        staged.judge()
