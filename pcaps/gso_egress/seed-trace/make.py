"""The ten segments in PR 8920's description: a page on its way to a client, as tcpdump shows it."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import tcp_run, write_pcap

# Microseconds after 09:03:49.585, flags and payload length of each line of the trace.
TRACE = [
    (143, "A", 1228),
    (151, "PA", 834),
    (157, "PA", 1031),
    (187, "A", 1228),
    (188, "PA", 834),
    (227, "A", 1228),
    (228, "PA", 1228),
    (230, "PA", 637),
    (846, "A", 1228),
    (851, "PA", 1228),
]

segments = tcp_run(
    [length for _, _, length in TRACE],
    source="10.128.15.241",
    destination="100.69.109.138",
    ports=(3000, 53474),
    flags=[flags for _, flags, _ in TRACE],
)
times_ns = [585_000_000 + microseconds * 1000 for microseconds, _, _ in TRACE]
write_pcap("capture.pcap", zip(times_ns, segments, strict=True))
