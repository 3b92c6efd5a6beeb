"""Builds an engine from settings and stages.

    outbound   tun_ingress → route → [your stages] → encrypt → gso_egress
    inbound    udp_ingress → decrypt → route → coalesce → [your stages] → tun_egress

The native stages run fused in the engine's data threads. Without stages of your own, no packet enters Python;
with stages, a batch enters once for all of them, and only if a stage's filter matches a frame of it.
"""

import msgspec

from pyfw import _native
from pyfw.config import Settings
from pyfw.stages.stage_set import StageSet

__all__ = ["MTU_DEFAULT", "Pipeline"]

MTU_DEFAULT = 1420
"""1500 less 80 for the outer IPv6, UDP and WireGuard headers (wireguard-go, wg-quick)."""


class Pipeline(msgspec.Struct, frozen=True):
    """The settings and stages of a tunnel that has not started."""

    settings: Settings = Settings()
    stages: StageSet = msgspec.field(default_factory=StageSet)
    """Started by the tunnel, before the engine."""

    @property
    def tun_offloads(self) -> tuple[str, ...]:
        """The offloads to request for the TUN."""
        return tuple(name for name in self.settings.offloads if name in ("tso", "uso"))

    def start(
        self, tun_fd: int, udp_fds: tuple[int, int], listen_port: int, mtu: int = MTU_DEFAULT
    ) -> _native.Engine:
        """Starts an engine, which takes over the descriptors even if it raises."""
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
