"""Recording real traffic: programs talk through a real tunnel in namespaces, tcpdump listens at the TUN.

    python pcaps/real/NAME/record.py [FOLDER]

What comes out is never the same twice: clocks, ports and schedulers differ. The committed captures were
made by these scripts, and can be made anew where tcpdump, the programs and namespaces are at hand.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from pyfw.lab import Network, Pair, pyfw_run
from pyfw.lab.daemon import INTERFACE

BYTES_MAX = 1 << 20
# Without offloads each captured packet is one segment, as it was on the wire.
_SETTINGS = "[offloads]\nudp_gso = false\nudp_gro = false\ntso = false\nuso = false\n"


def record(work: Callable[[Network], None], *, only: str = "ip or ip6") -> None:
    """Records what `work` does to the client's tunnel, beside the script or into the given folder."""
    script = Path(sys.argv[0]).resolve()
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else script.parent
    with Network() as network:
        daemon = pyfw_run(_SETTINGS)
        pair = Pair(network, daemon, daemon)
        pair.first_ping_ms()
        options = ["--interface", INTERFACE, "--immediate-mode", "--nano", "-Z", "root"]
        listening = network.client.start(
            "tcpdump", *options, "-w", "/run/capture.pcap", "--packet-buffered", only
        )
        listening.wait_for("listening on")
        work(network)
        listening.stop()
        # The lab's /run is its own; the holder's root shows it.
        content = Path(f"/proc/{network.client.pid}/root/run/capture.pcap").read_bytes()
    if len(content) > BYTES_MAX:
        sys.exit(f"{len(content)} bytes are more than {BYTES_MAX}: let the programs do less")
    (folder / "capture.pcap").write_bytes(content)
    print(f"{folder / 'capture.pcap'}: {len(content)} bytes; {listening.output().strip()}")
