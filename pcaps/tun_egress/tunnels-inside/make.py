"""Packets of five tunnel protocols, interleaved."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from recipe import every, in_turn, ip_run, payload, tcp_run, udp_run, write_pcap
from scapy.layers.inet import UDP

gre, vxlan, ip_in_ip = (tcp_run([600] * 6, ports=(port, 80)) for port in (1, 2, 3))
outside, ethernet = (
    UDP(sport=50000, dport=4789, chksum=0) / (b"\x08" + bytes(7)),
    bytes(12) + b"\x08\x00",
)
runs = (
    ip_run(17, [outside / (ethernet + inside) for inside in vxlan]),
    ip_run(47, [b"\x00\x00\x08\x00" + inside for inside in gre]),
    ip_run(
        50, [b"\x00\x00\x12\x34" + (i + 1).to_bytes(4, "big") + payload(600, i) for i in range(6)]
    ),
    ip_run(4, ip_in_ip),
    udp_run([148, 92, 32, 128, 1452, 32], ports=(51820, 51820)),
)
write_pcap("capture.pcap", every(10, in_turn(*runs)))
