"""Settings and stages to a running path: what an engine is built from, and the engine as Python sees it.

    outbound   tun_ingress → route → [your stages] → encrypt → gso_egress
    inbound    udp_ingress → decrypt → route → coalesce → [your stages] → tun_egress

The native stages run fused in the engine's data threads. Without stages of yours no packet enters Python;
with some, a batch does, once for all of them, and only where one of them wants a frame of it.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from pyfw import _native
from pyfw.config import Settings
from pyfw.stages.stage_set import StageSet

__all__ = ["MTU_DEFAULT", "Engine", "Pipeline", "StageSet"]

MTU_DEFAULT = 1420
"""1500 less 80: the outer IPv6, UDP and WireGuard headers (wireguard-go, wg-quick)."""


class Engine(Protocol):
    """What a tunnel asks of its engine; `pyfw._native.Engine` is one, tests bring another."""

    def set_private_key(self, private_key: bytes | None) -> None: ...  # noqa: D102
    def set_peer(  # noqa: D102
        self,
        public_key: bytes,
        *,
        update_only: bool = False,
        preshared_key: bytes | None = None,
        endpoint: str | None = None,
        persistent_keepalive: int | None = None,
        replace_allowed_ips: bool = False,
        add_allowed_ips: Sequence[str] = (),
        remove_allowed_ips: Sequence[str] = (),
    ) -> bool: ...
    def remove_peer(self, public_key: bytes) -> bool: ...  # noqa: D102
    def remove_peers(self) -> None: ...  # noqa: D102
    def set_mtu(self, mtu: int) -> None: ...  # noqa: D102
    def set_fwmark(self, mark: int) -> None: ...  # noqa: D102
    def rebind(self, udp_fds: tuple[int, int], listen_port: int) -> None: ...  # noqa: D102
    def configuration(self) -> dict[str, Any]: ...  # noqa: D102
    def peers(self) -> list[dict[str, Any]]: ...  # noqa: D102
    def counters(self) -> dict[str, Any]: ...  # noqa: D102
    def facts(self) -> dict[str, Any]: ...  # noqa: D102
    def event_fd(self) -> int: ...  # noqa: D102
    def events(self) -> list[dict[str, Any]]: ...  # noqa: D102
    def set_key_log(self, fd: int | None) -> None: ...  # noqa: D102
    def start_capture(  # noqa: D102
        self, fd: int, points: Sequence[str] = ("tun", "udp"), snap_length: int = 262144
    ) -> None: ...
    def stop_capture(self) -> dict[str, Any] | None: ...  # noqa: D102
    def ended(self) -> str | None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


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
    ) -> Engine:
        """Starts the threads. The descriptors belong to the engine from here on, also where it fails."""
        return self._made(
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

    def _made(self, **options: Any) -> Engine:
        return _native.Engine(**options)
