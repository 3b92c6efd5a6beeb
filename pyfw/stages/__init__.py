"""The stages, in the order in which a packet meets them.

    outbound   TUN → tun_ingress → route → [your stages] → encrypt → gso_egress → UDP
    inbound    UDP → udp_ingress → decrypt → route → coalesce → [your stages] → tun_egress → TUN

Each lives in one file of `rust_ext/core/src`, under the same name.
"""

from pyfw._native import GsoBatch, GsoEgress

OUTBOUND = ("tun_ingress", "route", "encrypt", "gso_egress")
INBOUND = ("udp_ingress", "decrypt", "route", "coalesce", "tun_egress")

__all__ = ["INBOUND", "OUTBOUND", "GsoBatch", "GsoEgress"]
