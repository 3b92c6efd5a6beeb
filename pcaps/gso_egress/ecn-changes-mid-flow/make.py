"""Twelve segments of one flow, some of them marked CE by a router (RFC 3168)."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import tcp_run, write_pcap

ECT0, CE = 0b10, 0b11
ECN = [ECT0, ECT0, CE, ECT0, ECT0, CE, CE, ECT0, ECT0, ECT0, CE, ECT0]

segments = tcp_run(
    [1228] * len(ECN),
    source="10.0.0.2",
    destination="10.0.1.1",
    ports=(40000, 443),
    ecn=ECN,
)
# A burst, 10 µs apart.
write_pcap("capture.pcap", ((i * 10_000, segment) for i, segment in enumerate(segments)))
