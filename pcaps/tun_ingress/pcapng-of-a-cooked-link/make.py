"""A connection in frames of LINKTYPE_LINUX_SLL2, in a big-endian pcapng."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import conversation, write_pcapng


def cooked(packet):
    """Adds a header (tcpdump.org/linktypes/LINKTYPE_LINUX_SLL2.html): EtherType, interface 2, no address."""
    return (
        b"\x08\x00"
        + bytes(2)
        + (2).to_bytes(4, "big")
        + (0xFFFE).to_bytes(2, "big")
        + bytes(10)
        + packet
    )


packets = [(time_ns, cooked(packet)) for time_ns, packet in conversation(100, [900] * 5)]
write_pcapng("capture.pcapng", packets, link=276, order=">")
