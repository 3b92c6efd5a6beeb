"""Names of routing tables, as iproute2 knows them: a name in, its number out."""

import re
from pathlib import Path

# rtnetlink(7), rt_class_t: known even where iproute2 is not installed.
_BUILT_IN = {"default": 253, "main": 254, "local": 255}
# Where iproute2 looks; the administrator's word comes last, and counts.
_DIRECTORIES = ("/usr/lib/iproute2", "/usr/share/iproute2", "/etc/iproute2")


def number_of(name: str) -> int | None:
    """The number of a table, if it has one and packets can be routed by it."""
    number = _known().get(name, 0)
    return number if 0 < number <= 0xFFFF_FFFF else None


def _known() -> dict[str, int]:
    known = dict(_BUILT_IN)
    for directory in map(Path, _DIRECTORIES):
        for path in (directory / "rt_tables", *sorted(directory.glob("rt_tables.d/*.conf"))):
            try:
                text = path.read_text(errors="replace")
            except OSError:
                continue
            for line in text.splitlines():
                if found := re.match(r"\s*(0[xX][0-9a-fA-F]+|[0-9]+)\s+([^\s#]+)", line):
                    known[found[2]] = int(found[1], 16 if found[1][:2] in ("0x", "0X") else 10)
    return known
