"""Echo requests and replies, and three kinds of errors."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import CLIENT, SERVER, every, in_turn, ip_run, payload, udp_run, write_pcap
from scapy.layers.inet import ICMP

pings = ip_run(1, [ICMP(type=8, id=7, seq=i) / payload(56, i) for i in range(8)])
answers = ip_run(
    1,
    [ICMP(type=0, id=7, seq=i) / payload(56, i) for i in range(8)],
    source=SERVER,
    destination=CLIENT,
)
quoted = udp_run([30])[0][:28]
kinds = [ICMP(type=3, code=3), ICMP(type=3, code=4, nexthopmtu=1280), ICMP(type=11)]
errors = ip_run(1, [kind / quoted for kind in kinds], source=SERVER, destination=CLIENT)
write_pcap("capture.pcap", every(500, in_turn(pings, answers, errors)))
