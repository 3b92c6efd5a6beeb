"""A session's own share of a busy processor, as the kernel tells it."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pyfw.control.priority import favour

_GROUP = Path("/proc/self/autogroup")

pytestmark = pytest.mark.skipif(
    not _GROUP.exists() or not _GROUP.read_text(), reason="this kernel has no sched_autogroup"
)


def group_nice_in_a_child(*steps: Callable[[], object]) -> int:
    """What a child's scheduling group has after some steps."""
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        try:
            for step in steps:
                step()
            os.write(write, _GROUP.read_bytes())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as told:
        text = told.read()
    os.waitpid(child, 0)
    found = re.fullmatch(r"/autogroup-\d+ nice (-?\d+)\n", text)
    assert found, text
    return int(found[1])


def test_a_session_of_ones_own_gets_the_nice_value() -> None:
    # Upwards: that is allowed to all.
    assert group_nice_in_a_child(os.setsid, lambda: favour(7)) == 7
    assert group_nice_in_a_child(os.setsid, lambda: favour(0)) == 0


def test_a_session_that_others_share_is_left_alone() -> None:
    before = group_nice_in_a_child()
    assert group_nice_in_a_child(lambda: favour(before + 3)) == before
