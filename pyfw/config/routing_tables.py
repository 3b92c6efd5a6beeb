"""Looks up names of routing tables in iproute2's rt_tables files."""

import re
from pathlib import Path

# rtnetlink(7), rt_class_t: valid even if iproute2 is not installed.
_BUILT_IN = {"default": 253, "main": 254, "local": 255}
# Where iproute2 looks; later files override earlier ones.
_DIRECTORIES = ("/usr/lib/iproute2", "/usr/share/iproute2", "/etc/iproute2")


def number_of(name: str) -> int | None:
    """Returns the number of a routing table, or None if the name is unknown or its number invalid."""
    number = _all_tables().get(name, 0)
    return number if 0 < number <= 0xFFFF_FFFF else None


def _all_tables() -> dict[str, int]:
    tables = dict(_BUILT_IN)
    for directory in map(Path, _DIRECTORIES):
        for path in (directory / "rt_tables", *sorted(directory.glob("rt_tables.d/*.conf"))):
            try:
                text = path.read_text(errors="replace")
            except OSError:
                continue
            for line in text.splitlines():
                if match := re.match(r"\s*(0[xX][0-9a-fA-F]+|[0-9]+)\s+([^\s#]+)", line):
                    tables[match[2]] = int(match[1], 16 if match[1][:2] in ("0x", "0X") else 10)
    return tables
