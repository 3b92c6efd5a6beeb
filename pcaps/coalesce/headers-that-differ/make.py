"""One IPv6 flow in which one field after the other changes."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import CLIENT6, SERVER6, every, tcp_run, write_pcap


def change(number, ip, tcp):
    """Changes another field every six segments."""
    if 6 <= number < 12:
        ip.hlim = 60
    if 12 <= number < 18:
        tcp.options = [("NOP", None), ("NOP", None), ("Timestamp", (5, 6))]
    if 18 <= number < 24:
        tcp.window = 77
    if 24 <= number < 30:
        ip.tc = 3
    if number >= 30:
        tcp.options = []


run = tcp_run([700] * 36, source=CLIENT6, destination=SERVER6, edit=change)
write_pcap("capture.pcap", every(2, run))
