"""One flow in which TTL, timestamps and PSH change."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import every, tcp_run, write_pcap


def change(number, ip, tcp):
    """Changes the timestamp every four segments, and the TTL once."""
    ip.ttl = 64 if number < 8 else 63
    stamp = 3_862_031_964 + number // 4
    tcp.options = [("NOP", None), ("NOP", None), ("Timestamp", (stamp, 1_928_356_896))]


flags = ["PA" if number % 6 == 5 else "A" for number in range(24)]
write_pcap("capture.pcap", every(2, tcp_run([1000] * 24, flags=flags, edit=change)))
