"""A wg-quick file without what only wg-quick knows: text in, text for `wg setconf` and `wg syncconf` out.

Line by line, as `wg-quick strip` does it: comments, blank lines and what may be wrong stay where they are.
"""

_ONLY_WG_QUICK = {
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
    """The remaining lines, each without blanks around it."""
    kept = []
    in_interface = False
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    for line in lines:
        key = line.split("#", 1)[0].partition("=")[0].strip().casefold()
        if key.startswith("["):
            in_interface = key == "[interface]"
        if not (in_interface and key in _ONLY_WG_QUICK):
            kept.append(line.strip(" \t") + "\n")
    return "".join(kept)
