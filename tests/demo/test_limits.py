"""What a user namespace withholds."""

from pyfw.demo.limits import limits


def test_root_is_limited_by_nothing() -> None:
    assert limits(is_root=True, rmem_max=212_992) == []


def test_small_buffers_are_named_with_the_way_to_raise_them() -> None:
    told = limits(is_root=False, rmem_max=212_992)[-1]
    assert "208 KiB of 7 MiB" in told
    assert "sysctl -w net.core.rmem_max=7340032" in told


def test_large_enough_buffers_are_not_mentioned() -> None:
    assert not any("buffers" in line for line in limits(is_root=False, rmem_max=8 << 20))
