"""Numbers as people read them. In: counts, bytes, nanoseconds. Out: short text, the same everywhere."""

_UNITS = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"), (1, "ns"))
# RFC 3168, section 5: the two low bits of the DS byte.
_ECN_NAMES = ("Not-ECT", "ECT(1)", "ECT(0)", "CE")


def count(n: int) -> str:
    """With thousands apart."""
    return f"{n:,}"


def of(n: int, one: str, many: str | None = None) -> str:
    """A count and its noun."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def duration(ns: int) -> str:
    """In the largest unit that leaves a whole number, with three digits after the point at most."""
    for size, unit in _UNITS:
        if abs(ns) >= size:
            return f"{ns / size:,.3f}".rstrip("0").rstrip(".") + f" {unit}"
    return "0 s"


def octets(n: int) -> str:
    """Bytes, KiB, MiB or GiB."""
    value, unit = float(n), "B"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{n:,} B" if unit == "B" else f"{value:,.1f} {unit}"


def share(part: int, whole: int) -> str:
    """A part of a whole, in percent; empty where there is no whole."""
    return f"{100 * part / whole:.1f} %" if whole else ""


def ecn(bits: int) -> str:
    """The name of an ECN field."""
    return _ECN_NAMES[bits & 3]
