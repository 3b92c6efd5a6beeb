"""Three segments of each ECN codepoint, with and without a DSCP."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import every, tcp_run, write_pcap

TOS = [0, 1, 2, 3, 0b101110_00, 0b101110_10]
write_pcap("capture.pcap", every(5, tcp_run([1000] * 18, ecn=[TOS[i // 3] for i in range(18)])))
