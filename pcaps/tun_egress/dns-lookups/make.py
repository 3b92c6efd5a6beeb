"""DNS questions and answers, three at a time."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import CLIENT, SERVER, bursts, ip_header, write_pcap
from scapy.layers.dns import DNS, DNSQR, DNSRR
from scapy.layers.inet import UDP


def question(i):
    """Returns a question for host `i`."""
    return DNS(id=i, rd=1, qd=DNSQR(qname=f"host{i}.example."))


def answer(i):
    """Returns the answer for host `i`."""
    record = DNSRR(rrname=f"host{i}.example.", rdata=f"10.1.0.{i}", ttl=60)
    return DNS(id=i, qr=1, rd=1, ra=1, qd=DNSQR(qname=f"host{i}.example."), an=record)


questions = [
    bytes(ip_header(CLIENT, SERVER, i, 0) / UDP(sport=20000 + i, dport=53) / question(i))
    for i in range(40)
]
answers = [
    bytes(ip_header(SERVER, CLIENT, i, 0) / UDP(sport=53, dport=20000 + i) / answer(i))
    for i in range(40)
]
timed = sorted(
    bursts(3, 900, questions) + [(time_ns + 400_000, p) for time_ns, p in bursts(3, 900, answers)]
)
write_pcap("capture.pcap", timed)
