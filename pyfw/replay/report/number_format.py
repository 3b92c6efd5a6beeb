"""Formats counts, bytes, times and ECN fields."""

_UNITS = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"), (1, "ns"))
# RFC 3168, section 5: the two low bits of the DS byte.
_ECN_NAMES = ("Not-ECT", "ECT(1)", "ECT(0)", "CE")


def count(n: int) -> str:
    """Formats a count with thousands separators."""
    return f"{n:,}"


def plural(n: int, one: str, many: str | None = None) -> str:
    """Formats a count with its noun."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def duration(ns: int) -> str:
    """Formats nanoseconds in the largest unit of which there is at least one, with up to three decimals."""
    for size, unit in _UNITS:
        if abs(ns) >= size:
            return f"{ns / size:,.3f}".rstrip("0").rstrip(".") + f" {unit}"
    return "0 s"


def bytes_text(n: int) -> str:
    """Formats bytes as B, KiB, MiB or GiB."""
    value, unit = float(n), "B"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{n:,} B" if unit == "B" else f"{value:,.1f} {unit}"


def ecn_name(bits: int) -> str:
    """Returns the name of an ECN field."""
    return _ECN_NAMES[bits & 3]
