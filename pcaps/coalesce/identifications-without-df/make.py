"""A flow without DF whose identifications skip, repeat and wrap."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import every, tcp_run, write_pcap

IDS = [10, 11, 12, 14, 15, 15, 15, 16, 65534, 65535, 0, 1]


def identify(number, ip, _tcp):
    """Clears DF and sets the identification."""
    ip.flags, ip.id = 0, IDS[number]


write_pcap("capture.pcap", every(2, tcp_run([640] * len(IDS), edit=identify)))
