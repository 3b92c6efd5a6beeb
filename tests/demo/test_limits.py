"""The kernel limits that the demo reports."""

from pyfw.demo.limits import limits


def test_root_has_no_limits() -> None:
    assert limits(is_root=True, rmem_max=212_992) == []


def test_small_buffers_are_reported_with_the_command() -> None:
    line = limits(is_root=False, rmem_max=212_992)[-1]
    assert "208 KiB of 7 MiB" in line
    assert "sysctl -w net.core.rmem_max=7340032" in line


def test_large_buffers_are_not_reported() -> None:
    assert not any("buffers" in line for line in limits(is_root=False, rmem_max=8 << 20))
