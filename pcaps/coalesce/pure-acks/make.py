"""Data segments with pure acknowledgements between them."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import every, tcp_run, write_pcap


def acknowledge(number, _ip, tcp):
    """Acknowledges more data every four packets."""
    tcp.ack = 2_000_000_001 + number // 4 * 1000


lengths = [0 if number % 4 == 3 else 900 for number in range(32)]
write_pcap("capture.pcap", every(2, tcp_run(lengths, edit=acknowledge)))
