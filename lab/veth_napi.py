"""Has a veth receive as a network card does; run inside the machine that it belongs to.

    polled INTERFACE STEERING

In: the interface, and the file that steers what it receives to one CPU. Out: GRO and its forwarding of UDP
on, nothing steered. Ends with 1, and all as it was, where the kernel has no such feature (before 5.13).

UDP that a socket sent then goes through one ring, which one CPU at a time polls, whichever sent
(drivers/net/veth.c, veth_skb_is_eligible_for_gro): in order without an interrupt for each batch, which
costs a virtual machine an exit, and one flow 4 to 18 % of its speed.
"""

import sys
from pathlib import Path

from pyroute2 import Ethtool

_FEATURES = ("rx-gro", "rx-udp-gro-forwarding")


def main(interface: str, steering: str) -> None:
    """Does it."""
    with Ethtool() as ethtool:
        known = ethtool.get_features(interface)
        if not all(name in known.features for name in _FEATURES):
            raise SystemExit(f"{interface}: a kernel without {_FEATURES[1]}")
        for name in _FEATURES:
            known.features[name].enable = True
        ethtool.set_features(interface, known)
    Path(steering).write_text("0")


if __name__ == "__main__":
    main(*sys.argv[1:])
