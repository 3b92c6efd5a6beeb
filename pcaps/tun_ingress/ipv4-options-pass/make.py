"""Segments with and without IPv4 options of different lengths."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import every, tcp_run, write_pcap

OPTIONS = [b"", b"\x94\x04\x00\x00", b"\x07\x07\x04" + bytes(5), b"\x07\x27\x04" + bytes(37)]


def with_options(number, ip, _tcp):
    """Adds options of RFC 2113 and RFC 791."""
    ip.options = OPTIONS[number % 4]


write_pcap("capture.pcap", every(5, tcp_run([600] * 16, edit=with_options)))
