"""Downloads of three clients in bursts of four segments."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import SERVER, every, tcp_run, write_pcap

runs = [
    tcp_run([1200] * 12, source=SERVER, destination=f"10.0.0.{host}", ports=(443, 40000 + host))
    for host in (2, 3, 4)
]
packets = [packet for i in range(0, 12, 4) for run in runs for packet in run[i : i + 4]]
write_pcap("capture.pcap", every(5, packets))
