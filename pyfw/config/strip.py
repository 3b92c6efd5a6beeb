"""Removes the keys that only wg-quick has from a file, for `wg setconf` and `wg syncconf`.

Works line by line, as `wg-quick strip` does: comments, blank lines and errors stay in place.
"""

_WG_QUICK_ONLY = {
    "address",
    "dns",
    "mtu",
    "table",
    "preup",
    "postup",
    "predown",
    "postdown",
    "saveconfig",
}


def strip(text: str) -> str:
    """Returns the remaining lines, without leading and trailing blanks."""
    remaining = []
    in_interface = False
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    for line in lines:
        key = line.split("#", 1)[0].partition("=")[0].strip().casefold()
        if key.startswith("["):
            in_interface = key == "[interface]"
        if not (in_interface and key in _WG_QUICK_ONLY):
            remaining.append(line.strip(" \t") + "\n")
    return "".join(remaining)
