"""The stages, in the order in which a packet passes them.

    outbound   TUN → tun_ingress → route → [your stages] → encrypt → gso_egress → UDP
    inbound    UDP → udp_ingress → decrypt → route → coalesce → [your stages] → tun_egress → TUN

Each native stage is a file of that name in `rust_ext/core/src`. Your stages are loaded by `load`, run by
`stage_set` and written against `pyfw.stage`; `impair` and `tap` come with pyfw.
"""

from pyfw._native import GsoBatch, GsoEgress

OUTBOUND = ("tun_ingress", "route", "encrypt", "gso_egress")
INBOUND = ("udp_ingress", "decrypt", "route", "coalesce", "tun_egress")

__all__ = ["INBOUND", "OUTBOUND", "GsoBatch", "GsoEgress"]
