"""Types of the extension. All keys are 32 raw bytes; all addresses are text: "ip:port" or "[ip6]:port"."""

from collections.abc import Callable, Sequence
from typing import Any, final

__all__ = [
    "Engine",
    "GsoBatch",
    "GsoEgress",
    "__version__",
    "attach_tun",
    "build_profile",
    "ciphers",
    "generate_preshared_key",
    "generate_private_key",
    "open_tun",
    "open_udp",
    "public_key",
    "replay",
]

__version__: str
build_profile: str
"""How it was compiled: "release" (wheels), "editable" or "debug"."""

def generate_private_key() -> bytes: ...
def public_key(private_key: bytes) -> bytes: ...
def generate_preshared_key() -> bytes: ...
def ciphers() -> list[str]:
    """Names of the transport ciphers that work here, best first: "ipsec-mb 1.3", "ring"."""

def open_tun(name: str, offloads: Sequence[str] = ...) -> tuple[int, str, list[str]]:
    """Makes or attaches a TUN in the calling thread's network namespace; asks for "tso" and "uso" by default.

    Returns (descriptor, interface name, offloads the kernel granted). Raises OSError.
    """

def attach_tun(fd: int, offloads: Sequence[str] = ...) -> tuple[str, list[str]]:
    """The same for a TUN descriptor that was handed over (WG_TUN_FD)."""

def open_udp(port: int, fwmark: int = 0) -> tuple[int, int, int]:
    """Binds UDP on IPv4 and IPv6 to one port (0: any). Returns (fd of v4, fd of v6 or -1, port). Raises OSError."""

def replay(
    plan: dict[str, Any],
    progress: Callable[[int, int | None, int], object] | None = None,
) -> dict[str, Any]:
    """Replays a capture through two or more ends in virtual time; plan and result as docs/replay.md has them.

    `progress` gets bytes read, bytes in all (None: unknown) and packets, some times a second; False ends the run with
    KeyboardInterrupt. Raises ValueError on a plan that cannot be, OSError where the record cannot be written. A corrupt
    capture is no exception: `result["error"]` says where, and everything before it was replayed.
    """

@final
class GsoBatch:
    """One send: datagrams of one length, the last one shorter or not."""

    @property
    def source(self) -> str: ...
    @property
    def destination(self) -> str: ...
    @property
    def ecn(self) -> int: ...
    @property
    def segment_size(self) -> int:
        """Bytes of every datagram but a shorter last one."""

    @property
    def lengths(self) -> list[int]:
        """Bytes of each datagram, in order."""

    @property
    def payload(self) -> bytes:
        """All datagrams, one behind the other."""

@final
class GsoEgress:
    """The ordered list of GSO batches: a datagram may join only the newest batch to its destination."""

    def __new__(cls, *, max_segments: int = 64) -> "GsoEgress": ...
    def push(self, source: str, destination: str, payload: bytes, ecn: int = 0) -> None:
        """Adds one UDP payload. Addresses are "ip:port" or "[ip6]:port".

        Raises ValueError on an address, length or ecn (0 to 3) that cannot be; BufferError where 256 batches wait.
        """

    def drain(self) -> list[GsoBatch]:
        """The batches in the order in which they leave; the list is empty afterwards."""

@final
class Engine:
    """The native threads of one tunnel. Owns the descriptors it is given and closes them.

    Every method may be called from any thread. `OSError` carries the kernel's errno.
    """

    def __new__(
        cls,
        *,
        tun_fd: int,
        udp_fds: tuple[int, int],
        listen_port: int,
        threads: int = 1,
        cipher: str = "auto",
        offloads: Sequence[str] = ...,  # all: udp_gso, udp_gro, tso, uso
        coalesce_psh: str = "merge",
        mtu: int = 1420,
    ) -> "Engine": ...
    def set_private_key(self, private_key: bytes | None) -> None: ...
    def set_peer(
        self,
        public_key: bytes,
        *,
        update_only: bool = False,
        preshared_key: bytes | None = None,
        endpoint: str | None = None,
        persistent_keepalive: int | None = None,
        replace_allowed_ips: bool = False,
        add_allowed_ips: Sequence[str] = ...,
        remove_allowed_ips: Sequence[str] = ...,
    ) -> bool:
        """Adds or changes a peer; `None` leaves a property as it is. Returns whether the peer exists afterwards.

        32 zero bytes remove a preshared key; allowed IPs are "prefix/length", numeric.
        A peer with our own public key is silently not added. Raises ValueError.
        """

    def remove_peer(self, public_key: bytes) -> bool: ...
    def remove_peers(self) -> None: ...
    def set_mtu(self, mtu: int) -> None:
        """The TUN's MTU: padding never goes above it."""

    def set_fwmark(self, mark: int) -> None: ...
    def rebind(self, udp_fds: tuple[int, int], listen_port: int) -> None:
        """Goes over to other sockets; sessions and staged frames stay."""

    def configuration(self) -> dict[str, Any]:
        """private_key (bytes or None), public_key, listen_port, fwmark."""

    def peers(self) -> list[dict[str, Any]]:
        """One dict a peer, in order of addition: public_key, preshared_key (bytes or None), endpoint (str or None),
        persistent_keepalive (seconds), allowed_ips (list of "prefix/length"), last_handshake_ns (Unix; 0: never),
        sent_bytes, received_bytes, counters (as in `counters`)."""

    def counters(self) -> dict[str, Any]:
        """{"outbound": {...}, "inbound": {...}, "datagrams": {...}, "gso": {...}}; see docs of pyfw.Tunnel.counters."""

    def facts(self) -> dict[str, Any]:
        """What is in force: cipher, threads, offloads and their state."""

    def event_fd(self) -> int:
        """Readable while `events` has something. Owned by the engine."""

    def events(self) -> list[dict[str, Any]]:
        """Takes the waiting events. Each has "time_ns" (Unix), "severity", "message" and fields."""

    def start_capture(
        self, fd: int, points: Sequence[str] = ..., snap_length: int = 262144
    ) -> None:
        """Writes pcapng to a descriptor, which it takes over: at points "tun", "stages", "udp" (tun and udp), an interface each.

        One capture at a time: OSError (EEXIST kind) otherwise. Raises ValueError for another point. Records that
        find 4 MiB waiting are lost and counted; the tunnel is not slowed down.
        """

    def stop_capture(self) -> dict[str, Any] | None:
        """Writes what waits and ends. {"written", "lost", "error": why it ended by itself, or None}; None: there was none."""

    def ended(self) -> str | None:
        """Why the engine stopped by itself ("tun closed", "panic: …"), or None while it runs."""

    def close(self) -> None:
        """Drains what is queued, joins the threads, closes the descriptors. May be called twice."""
