"""Builds an engine from settings and stages.

    outbound   tun_ingress → route → [your stages] → encrypt → gso_egress
    inbound    udp_ingress → decrypt → route → coalesce → [your stages] → tun_egress

The native stages run fused in the engine's data threads. Without stages of yours no packet enters Python;
with some, a batch does, once for all of them, and only where one of them wants a frame of it.
"""

import msgspec

from pyfw import _native
from pyfw.config import Settings
from pyfw.stages.stage_set import StageSet

__all__ = ["MTU_DEFAULT", "Pipeline", "StageSet"]

MTU_DEFAULT = 1420
"""1500 less 80: the outer IPv6, UDP and WireGuard headers (wireguard-go, wg-quick)."""


class Pipeline(msgspec.Struct, frozen=True):
    """Both paths of one tunnel, before they run."""

    settings: Settings = Settings()
    stages: StageSet = msgspec.field(default_factory=StageSet)
    """Started by whoever opens the tunnel, before its threads are."""

    @property
    def tun_offloads(self) -> tuple[str, ...]:
        """What to ask of the TUN."""
        return tuple(name for name in self.settings.offloads if name in ("tso", "uso"))

    def start(
        self, tun_fd: int, udp_fds: tuple[int, int], listen_port: int, mtu: int = MTU_DEFAULT
    ) -> _native.Engine:
        """Starts the threads. The descriptors belong to the engine from here on, also where it fails."""
        return _native.Engine(
            tun_fd=tun_fd,
            udp_fds=udp_fds,
            listen_port=listen_port,
            threads=self.settings.threads,
            cipher=self.settings.cipher,
            offloads=self.settings.offloads,
            coalesce_psh=self.settings.coalesce_psh,
            mtu=mtu,
            stages=self.stages.chain,
        )
