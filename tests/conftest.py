"""The option `--budget`, for runs of the long tests; and logging as it was, after each test."""

import itertools
import time
from collections.abc import Iterator

import pytest
import structlog

_UNITS = {"s": 1, "m": 60, "h": 3600}


def _seconds(text: str) -> float:
    """Parses "90s", "10m" or "1h"."""
    return float(text[:-1]) * _UNITS[text[-1]]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--budget",
        type=_seconds,
        metavar="TIME",
        help="start no further test after this time, such as 90s, 10m or 1h",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_STARTED] = time.monotonic()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Under a budget starts each day with another file, so that none is always the one left out."""
    if config.getoption("budget") is None:
        return
    files = [list(group) for _, group in itertools.groupby(items, lambda item: item.path)]
    first = int(time.time() // 86_400) % max(len(files), 1)
    items[:] = itertools.chain.from_iterable(files[first:] + files[:first])


def pytest_runtest_setup(item: pytest.Item) -> None:
    budget = item.config.getoption("budget")
    if budget is not None and time.monotonic() - item.config.stash[_STARTED] > budget:
        pytest.skip("the budget is spent")


@pytest.fixture(autouse=True)
def default_logging() -> Iterator[None]:
    """Undoes `log.configure`, which is global and would change what a later test captures."""
    yield
    structlog.reset_defaults()


_STARTED = pytest.StashKey[float]()
