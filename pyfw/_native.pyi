"""Types of the extension. All keys are 32 raw bytes; all addresses are text: "ip:port" or "[ip6]:port"."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, final

__all__ = [
    "CaptureResult",
    "ChainCounters",
    "Configuration",
    "Counters",
    "DatagramCounters",
    "Engine",
    "Facts",
    "Frame",
    "FrameBatch",
    "GsoBatch",
    "GsoCounters",
    "GsoEgress",
    "HeldFrame",
    "InboundCounters",
    "OutboundCounters",
    "PeerCounters",
    "PeerStatus",
    "StageChain",
    "StageCounters",
    "StageSlot",
    "__version__",
    "attach_tun",
    "build_profile",
    "cipher_cost",
    "ciphers",
    "generate_preshared_key",
    "generate_private_key",
    "open_tun",
    "open_udp",
    "passthrough",
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

# Only in builds with the cargo feature `bench`, which wheels do not have.

def cipher_cost(cipher: str, length: int) -> tuple[float, float]:
    """Returns the nanoseconds that a cipher takes to seal and to open `length` bytes.

    Measures batches of 46 for 0.1 s and returns the best of many short runs. Raises ValueError for a cipher that
    cannot be used, or a length above 65535.
    """

def passthrough(tun_fd: int, udp_fd: int, peer: str, segment_size: int) -> None:
    """Carries frames between a TUN and UDP as they are, until an error ends it (OSError: the link was deleted).

    Takes over both descriptors. `peer` ("ip:port" or "[ip6]:port") runs the same, behind a link that keeps GSO batches
    together (veth). `segment_size` is in bytes. Raises ValueError for an invalid peer, or a segment_size of 0.
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

class _Report:
    """A read-only snapshot. Exists for type checkers only."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as a dictionary, nested structs as dictionaries too."""

@final
class Configuration(_Report):
    """The tunnel's own configuration."""

    private_key: Final[bytes | None]
    """32 bytes; None if there is none."""
    public_key: Final[bytes | None]
    """32 bytes; None without a private key."""
    listen_port: Final[int]
    """UDP port."""
    fwmark: Final[int]
    """Mark of outgoing datagrams (SO_MARK); 0 if there is none."""

@final
class PeerStatus(_Report):
    """A peer: its configuration, and what passed so far."""

    public_key: Final[bytes]
    """32 bytes."""
    preshared_key: Final[bytes | None]
    """32 bytes; None if there is none."""
    endpoint: Final[str | None]
    """"ip:port" or "[ip6]:port"; None if it is not known yet."""
    persistent_keepalive: Final[int]
    """Interval, seconds; 0 if it is off."""
    allowed_ips: Final[list[str]]
    """"prefix/length" each."""
    last_handshake_ns: Final[int]
    """Time of the last handshake, Unix nanoseconds; 0 if there was none."""
    sent_bytes: Final[int]
    """Bytes sent in UDP payloads."""
    received_bytes: Final[int]
    """Bytes received in UDP payloads."""
    counters: Final[PeerCounters]
    """Packets to and from the peer."""

@final
class Facts(_Report):
    """Cipher, threads and offloads in use."""

    cipher: Final[str]
    """Name of the transport cipher."""
    threads: Final[int]
    """Data threads, 1 or 2."""
    tun_offloads: Final[list[str]]
    """Offloads that the kernel granted to the TUN: "tso", "uso"."""
    udp_gso: Final[bool]
    """Whether datagrams are sent in GSO batches."""
    udp_gro: Final[bool]
    """Whether datagrams are received in GRO batches."""

@final
class CaptureResult(_Report):
    """A finished capture."""

    written: Final[int]
    """Records written."""
    lost: Final[int]
    """Records lost because 4 MiB were waiting to be written."""
    error: Final[str | None]
    """Why the capture ended by itself; None if it was stopped."""

@final
class Counters(_Report):
    """Counters of a tunnel, exact at batch boundaries. Packets are inner segments."""

    outbound: Final[OutboundCounters]
    """Packets from the TUN to the peers."""
    inbound: Final[InboundCounters]
    """Packets from the peers to the TUN."""
    datagrams: Final[DatagramCounters]
    """Datagrams received."""
    handshake_drops: Final[Mapping[str, int]]
    """Handshake messages dropped, by reason."""
    gso: Final[GsoCounters]
    """GSO batches sent."""
    tun_queue_drops: Final[int | None]
    """Frames that the kernel dropped because the TUN's queue was full; None if the interface is in another network namespace."""
    stages: Final[ChainCounters | None]
    """The user's stages; None if there are none."""

@final
class OutboundCounters(_Report):
    """Outbound packets: entered + created = left + queued + sum of drops."""

    entered: Final[int]
    """Packets read from the TUN; of a peer: routed to it."""
    created: Final[int]
    """Packets created by stages."""
    left: Final[int]
    """Packets that the kernel took in datagrams."""
    queued: Final[int]
    """Packets held by a stage, staged until a session exists, or in the GSO list."""
    marked: Final[int]
    """Packets marked with CE because a queue stood at the TUN (RFC 8289)."""
    drops: Final[Mapping[str, int]]
    """Packets dropped, by reason."""

@final
class InboundCounters(_Report):
    """Inbound packets: entered + created = left + queued + sum of drops."""

    entered: Final[int]
    """Packets decrypted from data messages."""
    created: Final[int]
    """Packets created by stages, and ICMP errors."""
    left: Final[int]
    """Packets written to the TUN."""
    queued: Final[int]
    """Packets held by a stage."""
    late: Final[int]
    """Data messages below the highest counter already seen in their session: exact reordering."""
    marked: Final[int]
    """Packets marked with CE: the datagram was (RFC 6040), or a queue stood at the UDP socket (RFC 8289)."""
    drops: Final[Mapping[str, int]]
    """Packets dropped, by reason."""

@final
class DatagramCounters(_Report):
    """Datagrams: received = data + handshakes + cookies + keepalives + others + sum of drops."""

    received: Final[int]
    """Datagrams read from the sockets."""
    data: Final[int]
    """Authentic data messages that carry a packet."""
    handshakes: Final[int]
    """Handshake initiations and responses."""
    cookies: Final[int]
    """Cookie replies."""
    keepalives: Final[int]
    """Authentic data messages that carry no packet."""
    others: Final[int]
    """Datagrams of another protocol, given to its handler."""
    drops: Final[Mapping[str, int]]
    """Datagrams dropped, by reason."""
    socket_drops: Final[int]
    """Datagrams that the kernel dropped because the receive buffer was full; not part of `received`."""

@final
class GsoCounters(_Report):
    """GSO batches sent."""

    batches: Final[int]
    """Batches sent."""
    datagrams: Final[int]
    """Datagrams sent in them."""
    sizes: Final[list[int]]
    """Batches by number of datagrams: 1, 2, 3–4, 5–8, 9–16, 17–32, 33–64, more."""

@final
class PeerCounters(_Report):
    """Packets of one peer."""

    outbound: Final[OutboundCounters]
    """Packets routed to the peer."""
    inbound: Final[InboundCounters]
    """Packets received from the peer."""

@final
class ChainCounters(_Report):
    """The user's stages of a tunnel."""

    stages: Final[Mapping[str, StageCounters]]
    """StageCounters by name of the stage, in the order of the chain."""
    entries: Final[int]
    """Batches for which a data thread attached to the interpreter."""
    attach_wait_ns: Final[int]
    """Time that data threads waited to attach, nanoseconds."""
    attach_wait_longest_ns: Final[int]
    """The longest of these waits, nanoseconds."""
    views_kept: Final[int]
    """Buffers retired because a stage kept a view of them."""

@final
class StageCounters(_Report):
    """One stage."""

    calls: Final[int]
    """Calls of `process`."""
    failures: Final[int]
    """Calls of `process` and `tick` that raised."""
    frames: Final[int]
    """Frames passed to `process`."""
    segments: Final[int]
    """Segments of these frames."""
    created: Final[int]
    """Segments created by the stage."""
    time_ns: Final[int]
    """Time spent in its calls, nanoseconds."""
    longest_ns: Final[int]
    """The longest call, nanoseconds."""
    held_frames: Final[int]
    """Frames that the stage holds."""
    held_segments: Final[int]
    """Segments of the frames that it holds."""
    held_bytes: Final[int]
    """Bytes of the frames that it holds."""
    drops: Final[Mapping[str, int]]
    """Segments dropped, by reason."""
    own: Final[Mapping[str, int]]
    """The stage's own counters (`Stage.count`)."""
    is_out: Final[bool]
    """Whether it was taken out of the chain because it failed."""

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
        stages: "StageChain | None" = None,
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

    def configuration(self) -> Configuration:
        """Returns the tunnel's own configuration."""

    def peers(self) -> list[PeerStatus]:
        """Returns the peers in the order in which they were added."""

    def counters(self) -> Counters:
        """Returns the counters of the tunnel and of its stages."""

    def facts(self) -> Facts:
        """Returns cipher, threads and offloads in use."""

    def event_fd(self) -> int:
        """Readable while `events` has something. Owned by the engine."""

    def events(self) -> list[dict[str, Any]]:
        """Takes the waiting events. Each has "time_ns" (Unix), "severity", "message" and fields."""

    def set_key_log(self, fd: int | None) -> None:
        """Writes the secrets of handshakes to a descriptor, which it takes over, in the words of Wireshark's
        wg.keylog_file; None: no longer. Whoever has them can read what was captured. A write that fails ends it,
        and an event says so.
        """
    def start_capture(
        self, fd: int, points: Sequence[str] = ..., snap_length: int = 262144
    ) -> None:
        """Writes pcapng to a descriptor, which it takes over: at points "tun", "stages", "udp" (tun and udp), an interface each.

        One capture at a time: OSError (EEXIST kind) otherwise. Raises ValueError for another point. Records that
        find 4 MiB waiting are lost and counted; the tunnel is not slowed down.
        """

    def stop_capture(self) -> CaptureResult | None:
        """Writes the records that wait and ends the capture. Returns None if there was none."""

    def ended(self) -> str | None:
        """Why the engine stopped by itself ("tun closed", "panic: …"), or None while it runs."""

    def close(self) -> None:
        """Drains what is queued, joins the threads, closes the descriptors. May be called twice."""

# Stages: see pyfw/stage.py

@final
class Frame:
    """One frame of a batch, for as long as the batch lives: RuntimeError afterwards."""

    @property
    def version(self) -> int:
        """4 or 6."""

    @property
    def source(self) -> str: ...
    @property
    def destination(self) -> str: ...
    @property
    def protocol(self) -> int:
        """IP protocol number; IPv6: of the first header that is not an extension known to us."""

    @property
    def src_port(self) -> int:
        """0 where it is neither TCP nor UDP, or a fragment."""

    @property
    def dst_port(self) -> int: ...
    @property
    def length(self) -> int:
        """Bytes from the IP header to the end."""

    @property
    def segments(self) -> int:
        """Inner packets it stands for, 1 or more."""

    @property
    def segment_size(self) -> int:
        """Payload bytes of each segment but a shorter last one; 0 with one segment."""

    @property
    def tcp_flags(self) -> int: ...
    @property
    def ecn(self) -> int: ...
    @property
    def dscp(self) -> int: ...
    @property
    def flow(self) -> int: ...
    @property
    def mark(self) -> int: ...
    @property
    def peer(self) -> str | None:
        """The peer's public key in base64; None where it has none yet."""

    @property
    def data(self) -> memoryview:
        """See `FrameBatch.data`."""

    def to_scapy(self) -> Any:
        """A scapy packet, dissected. Needs pyfw-dataplane[scapy]; ImportError says so."""

@final
class FrameBatch:
    """Frames of one direction, and what becomes of them. Frames keep their index until `process` returns.

    Columns are read-only memoryviews with one item a frame, taken by numpy without a copy: they show the
    frames as they came to this stage (`split` appends rows). Every method raises RuntimeError once
    `process` has returned, IndexError for an index that is not 0 to len - 1.
    """

    direction: str
    """"inbound" or "outbound"."""
    now_ns: int
    """Boot time at which the batch was drained, nanoseconds."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Frame: ...
    def __iter__(self) -> Iterator[Frame]: ...
    @property
    def source(self) -> memoryview:
        """uint8, shape (n, 16): IPv4 in the first four bytes, the rest 0."""

    @property
    def destination(self) -> memoryview:
        """uint8, shape (n, 16), likewise."""

    @property
    def version(self) -> memoryview:
        """uint8."""

    @property
    def protocol(self) -> memoryview:
        """uint8."""

    @property
    def src_port(self) -> memoryview:
        """uint16."""

    @property
    def dst_port(self) -> memoryview:
        """uint16."""

    @property
    def length(self) -> memoryview:
        """uint32, bytes."""

    @property
    def segments(self) -> memoryview:
        """uint16."""

    @property
    def segment_size(self) -> memoryview:
        """uint16, bytes."""

    @property
    def tcp_flags(self) -> memoryview:
        """uint8."""

    @property
    def ecn(self) -> memoryview:
        """uint8, 0 to 3."""

    @property
    def dscp(self) -> memoryview:
        """uint8, 0 to 63."""

    @property
    def flow(self) -> memoryview:
        """uint64: a hash of (protocol, addresses, ports), the same for all frames of a flow in one direction."""

    @property
    def peer(self) -> memoryview:
        """uint32: a number the tunnel gave the peer; `peer_key` has its public key."""

    @property
    def marks(self) -> memoryview:
        """uint32: what `mark` wrote, 0 at first."""

    @property
    def received_ns(self) -> memoryview:
        """uint64: boot time of the drain that read the frame."""

    def peer_key(self, number: int) -> str | None:
        """The public key (base64) of a peer's number; None where there is no such peer."""

    def where(self, **words: Any) -> list[int]:
        """Indices of the frames for which all words hold, in order.

        protocol ("tcp", "udp", "icmp", "icmp6" or a number), version, source, destination, address (either
        one; an address or network as text), src_port, dst_port, port (either), length, segments, tcp_flags
        (text such as "S" or "SA": all of these set; "S/SA": of S and A just S), ecn, dscp, mark, peer (public
        key), bpf (an expression as tcpdump takes it). A collection means any of its items, a range the
        numbers in it. Raises TypeError for an unknown word, ValueError for a value it cannot have.
        """

    def data(self, index: int) -> memoryview:
        """The frame's bytes from the IP header on, read-only. Gathers a coalesced frame.

        A transport checksum may still hold the pseudo-header's sum alone, as in captures with offloads. A view
        that is kept shows these bytes for ever, never another frame's. Raises BufferError where the views
        that are kept fill their bound (16 MiB).
        """

    def drop(self, index: int, reason: str = "dropped") -> None:
        """The frame ends here, counted under the reason (letters, digits, "_"; at most 64 reasons a stage)."""

    def answer(self, index: int, packet: Any) -> None:
        """Drops the frame ("answered") and sends a packet the other way: bytes from the IP header on, or scapy."""

    def replace(self, index: int, packet: Any) -> None:
        """Other bytes for this frame, from the IP header on: bytes or scapy. Lengths, checksums and segment size
        are repaired; outbound, a new destination is routed. Raises ValueError for what is no IP packet, or is
        longer than 65,535 B.
        """

    def insert(self, index: int, packet: Any) -> None:
        """A new packet before that frame; index len(batch) is the end."""

    def hold(self, index: int) -> HeldFrame | None:
        """Takes the frame out, to be emitted later. None where the stage holds too many: then it is dropped."""

    def split(self, index: int) -> range:
        """Replaces a frame by its segments, each a row of its own; returns their indices. They take its place."""

    def mark(self, index: int, value: int) -> None:
        """A number (32 bits) on the frame, for the stages behind."""

    def set_ecn(self, index: int, ecn: int) -> None:
        """Writes the ECN field (0 to 3) of all segments of the frame."""

@final
class HeldFrame:
    """A frame that a stage holds. One that is forgotten is dropped (reason "forgotten")."""

    direction: str
    length: int
    segments: int
    flow: int
    received_ns: int
    peer: str | None
    @property
    def data(self) -> memoryview:
        """Its bytes, read-only."""

    def to_scapy(self) -> Any: ...

@final
class StageSlot:
    """A stage's place in a chain: what `Stage` calls, and what the chain knows of it.

    Options of a slot: name, direction, peers, filter (words of `where`), reorders, on_error, tick_ms,
    hold_frames, hold_bytes as in pyfw.Stage; failures, stall_s, outcome as in `[[stages]]`.
    """

    @property
    def name(self) -> str: ...
    @property
    def is_out(self) -> bool:
        """Whether it was taken out because it failed."""

    @property
    def is_busy(self) -> bool:
        """Whether a call of the stage is under way."""

    def emit(self, frame: HeldFrame | bytes, direction: str | None = None) -> None: ...
    def wake_at(self, when_ns: int) -> None: ...
    def count(self, counter: str, amount: int = 1) -> None: ...
    def counters(self) -> StageCounters: ...
    def replace(
        self,
        stage: object,
        change: Callable[[], object],
        timeout_s: float = 2.0,
        **options: Any,
    ) -> None:
        """Puts another stage here between two calls of the old one; `change` runs in between, and where it raises,
        the old one stays. Raises RuntimeError where the old one does not come back in time."""

    def wait_idle(self, timeout_s: float = 2.0) -> None:
        """Returns once no call of the stage is under way. Raises RuntimeError where that takes longer."""

@final
class StageChain:
    """The stages of one tunnel, in order. An engine or a replay runs it; `try_packets` does so by hand."""

    def __new__(cls) -> "StageChain": ...
    @property
    def is_entered(self) -> bool:
        """Whether this very thread is in the middle of a call of one of its stages."""

    def slot(self, stage: object, **options: Any) -> StageSlot:
        """A place for a stage; see StageSlot for the options. It is called once it is among those of `set`.

        Raises TypeError and ValueError for an option that cannot be.
        """

    def set(self, slots: Sequence[StageSlot]) -> None:
        """Goes over to these, between batches."""

    def counters(self) -> ChainCounters:
        """Returns the counters of the stages in the chain."""

    def notices(self) -> list[dict[str, Any]]:
        """Takes what no engine was there to log: message, stage, reason, times."""

    def try_packets(
        self,
        packets: Sequence[Any],
        *,
        towards: str,
        now_ns: int,
        segment_size: int = 0,
        mtu: int = 1420,
        peer: str | bytes | None = None,
    ) -> list[bytes]:
        """See pyfw.StageTest. Raises ValueError for what is no packet."""

    def try_tick(self, now_ns: int) -> None: ...
    def due_ns(self) -> int | None:
        """When a tick is due, boot nanoseconds."""
