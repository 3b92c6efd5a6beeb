"""Types of the extension. A key is 32 raw bytes, an address is text: "ip:port" or "[ip6]:port".

OSError carries the kernel's errno and message.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, final

from pyfw.replay.case import Case

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
"""The cargo profile: "release" (wheels), "editable" or "debug"."""

def generate_private_key() -> bytes:
    """Returns a new private key, clamped as `wg genkey` does."""

def generate_preshared_key() -> bytes:
    """Returns 32 random bytes."""

def public_key(private_key: bytes) -> bytes:
    """Returns the public key of a private key. Raises ValueError unless it has 32 bytes."""

def ciphers() -> list[str]:
    """Returns name and version of the ciphers that can be used, the preferred one first: "ipsec-mb 1.3.0", "ring"."""

def open_tun(name: str, offloads: Sequence[str] = ...) -> tuple[int, str, list[str]]:
    """Creates a TUN in the calling thread's network namespace, or attaches to a persistent one.

    `offloads` are requested: "tso" and "uso" (the default is both). Returns the descriptor, the name of the interface
    and the offloads that the kernel granted. Raises OSError, and ValueError for an unknown offload.
    """

def attach_tun(fd: int, offloads: Sequence[str] = ...) -> tuple[str, list[str]]:
    """Requests the offloads for an open TUN (WG_TUN_FD), which stays the caller's. Returns name and granted offloads.

    Raises OSError if it is not a TUN with IFF_NO_PI and IFF_VNET_HDR, and ValueError for an unknown offload.
    """

def open_udp(port: int, fwmark: int = 0) -> tuple[int, int, int]:
    """Binds UDP on IPv4 and IPv6 to one port (0: the kernel chooses one).

    Returns the descriptor for IPv4, that for IPv6 (-1 without IPv6) and the port. Raises OSError.
    """

def replay(
    case: Case,
    *,
    stages: dict[str, StageChain] | None = None,
    keylog: str | None = None,
    write: str | None = None,
    secrets: bool = False,
    progress: Callable[[int, int | None, int], object] | None = None,
) -> dict[str, Any]:
    """Replays a capture through two or more ends in virtual time; docs/replay.md describes the result.

    `stages` are the chains by end, `keylog` the text of a key log for an outer capture. `write` is the path of a pcapng
    with inner and outer packets, and with the keys if `secrets`. `progress` is called a few times per second with the
    bytes read, the bytes in total (None: unknown) and the packets; if it returns False, the run ends with
    KeyboardInterrupt. Raises ValueError for an invalid case, OSError if `write` fails. A corrupt capture raises nothing:
    `result["error"]` has the offset, and everything before it was replayed.
    """

# Only in builds with the cargo feature `bench`, which wheels do not have; there, Engine(cipher="off") works as well.

def cipher_cost(cipher: str, length: int) -> tuple[float, float]:
    """Returns the nanoseconds that a cipher takes to seal and to open `length` bytes.

    Measures batches of 46 for 0.1 s and returns the best of many short runs. Raises ValueError for a cipher that
    cannot be used, or a length above 65535.
    """

def passthrough(tun_fd: int, udp_fd: int, peer: str, segment_size: int) -> None:
    """Carries frames between a TUN and UDP as they are, until an error ends it (OSError: the link was deleted).

    Takes over both descriptors. `peer`, an address, does the same, behind a link that keeps GSO batches together
    (veth). `segment_size` is in bytes. Raises ValueError for an invalid peer, or a segment_size of 0.
    """

@final
class GsoBatch:
    """The datagrams of one send: all of one length, but for a shorter last one."""

    source: Final[str]
    destination: Final[str]
    ecn: Final[int]
    """0 to 3."""
    segment_size: Final[int]
    """Bytes of each datagram but a shorter last one."""
    lengths: Final[list[int]]
    """Bytes of each datagram, in order."""
    payload: Final[bytes]
    """The datagrams, one behind the other."""

@final
class GsoEgress:
    """The ordered list of GSO batches: a datagram may join only the newest batch for its destination."""

    def __new__(cls, *, max_segments: int = 64) -> GsoEgress:
        """max_segments: datagrams per batch, 1 to 128. Raises ValueError."""

    def push(self, source: str, destination: str, payload: bytes, ecn: int = 0) -> None:
        """Adds a UDP payload.

        Raises ValueError for an invalid address, length or ecn (0 to 3), and BufferError if 256 batches are waiting.
        """

    def drain(self) -> list[GsoBatch]:
        """Returns the batches in the order in which they are sent, and empties the list."""

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
    """Frames that the kernel dropped because the TUN's queue was full; None if the interface is in another network
    namespace."""
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
    """The native threads of one tunnel. All methods may be called from any thread.

    Once closed, all methods but `close`, `facts` and `stop_capture` raise RuntimeError.
    """

    def __new__(
        cls,
        *,
        tun_fd: int,
        udp_fds: tuple[int, int],
        listen_port: int,
        threads: int = 1,
        cipher: str = "auto",
        offloads: Sequence[str] = ...,
        coalesce_psh: str = "merge",
        mtu: int = 1420,
        stages: StageChain | None = None,
    ) -> Engine:
        """Starts the threads, without a private key or peers. Takes over the descriptors, even if it raises.

        udp_fds: for IPv4 and IPv6 (-1 for none). listen_port: the port they are bound to. threads: 1, or 2 for one
        thread per direction. cipher: "auto", "ipsec-mb" or "ring". offloads: those to use, of "udp_gso", "udp_gro",
        "tso" and "uso" (the default is all). coalesce_psh: whether a segment with PSH ends a coalesced frame ("close")
        or not ("merge"). mtu: of the TUN. Raises ValueError for an invalid argument, and OSError.
        """

    def set_private_key(self, private_key: bytes | None) -> None:
        """Sets the private key, or removes it. Raises ValueError unless it has 32 bytes."""

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
        """Adds or changes a peer and returns whether it exists afterwards. None leaves a property as it is.

        update_only: does not add a peer. preshared_key: 32 zero bytes remove it. endpoint: an address, whose IPv6 scope
        may be the name of an interface. persistent_keepalive: seconds, 0 turns it off. Allowed IPs are
        "prefix/length", numeric. A peer with the tunnel's own public key is not added. Raises ValueError for an
        invalid key, endpoint or prefix, and OverflowError for a keepalive above 65535.
        """

    def remove_peer(self, public_key: bytes) -> bool:
        """Removes a peer and returns whether it existed. Raises ValueError unless the key has 32 bytes."""

    def remove_peers(self) -> None:
        """Removes all peers."""

    def set_mtu(self, mtu: int) -> None:
        """Sets the TUN's MTU in bytes: padding never exceeds it."""

    def set_fwmark(self, mark: int) -> None:
        """Marks outgoing datagrams (SO_MARK); 0 removes the mark. Raises OSError."""

    def rebind(self, udp_fds: tuple[int, int], listen_port: int) -> None:
        """Moves to other sockets, which it takes over; sessions and staged frames stay. Raises OSError."""

    def configuration(self) -> Configuration:
        """Returns the tunnel's own configuration."""

    def peers(self) -> list[PeerStatus]:
        """Returns the peers in the order in which they were added."""

    def counters(self) -> Counters:
        """Returns the counters of the tunnel and of its stages. Raises OSError if procfs cannot be read."""

    def facts(self) -> Facts:
        """Returns cipher, threads and offloads in use."""

    def event_fd(self) -> int:
        """Returns a descriptor that is readable while events wait. It stays the engine's."""

    def events(self) -> list[dict[str, Any]]:
        """Takes the waiting events: "time_ns" (Unix), "severity", "message" and the fields of each."""

    def set_key_log(self, fd: int | None) -> None:
        """Writes the secrets of handshakes to a descriptor, in the format of Wireshark's wg.keylog_file; None stops.

        Takes over the descriptor. With these secrets, anyone can decrypt a capture. A write that fails stops it, with
        an event.
        """

    def start_capture(
        self, fd: int, points: Sequence[str] = ..., snap_length: int = 262144
    ) -> None:
        """Captures to a descriptor as pcapng, an interface per point: "tun", "stages", "udp" (default: tun and udp).

        Takes over the descriptor. snap_length: bytes kept of each packet. Records beyond 4 MiB that wait are lost and
        counted; the tunnel is not slowed down. Raises FileExistsError if a capture is running, ValueError for an
        unknown point.
        """

    def stop_capture(self) -> CaptureResult | None:
        """Writes the records that wait and ends the capture. Returns None if there was none."""

    def ended(self) -> str | None:
        """Returns why the engine ended by itself ("tun closed", "panic: …"), or None while it runs."""

    def close(self) -> None:
        """Sends what is queued, joins the threads and closes the descriptors. May be called twice."""

# Stages: pyfw/stage.py says more.

@final
class Frame:
    """One frame of a batch. Every attribute raises RuntimeError once `process` has returned."""

    version: Final[int]
    """4 or 6."""
    source: Final[str]
    destination: Final[str]
    protocol: Final[int]
    """IP protocol number; in IPv6, of the first header that is not a known extension."""
    src_port: Final[int]
    """0 for other protocols than TCP and UDP, and for fragments."""
    dst_port: Final[int]
    """Likewise."""
    length: Final[int]
    """Bytes from the IP header on."""
    segments: Final[int]
    """Packets that the frame stands for, 1 or more."""
    segment_size: Final[int]
    """Payload bytes of each segment but a shorter last one; 0 for a single segment."""
    tcp_flags: Final[int]
    ecn: Final[int]
    """0 to 3."""
    dscp: Final[int]
    """0 to 63."""
    flow: Final[int]
    """A hash of protocol, addresses and ports."""
    mark: Final[int]
    """The value of `FrameBatch.mark`, 0 at first."""
    peer: Final[str | None]
    """The peer's public key in base64; None if it has no peer yet."""
    data: Final[memoryview]
    """The bytes of the frame; see `FrameBatch.data`."""

    def to_scapy(self) -> Any:
        """Returns the frame as a scapy packet. Raises ImportError without pyfw-dataplane[scapy]."""

@final
class FrameBatch:
    """Frames of one direction, and verdicts on them. Frames keep their index until `process` returns.

    Columns are read-only memoryviews with one item per frame, which numpy takes without a copy: the frames as they came
    to this stage (`split` appends rows). Every method raises RuntimeError once `process` has returned, IndexError for
    an index that is not 0 to len - 1, and ValueError for a second verdict on a frame that is gone.
    """

    direction: Final[str]
    """"inbound" or "outbound"."""
    now_ns: Final[int]
    """Boot time at which the batch was drained, nanoseconds."""
    source: Final[memoryview]
    """uint8, shape (n, 16): IPv4 in the first four bytes, the rest 0."""
    destination: Final[memoryview]
    """uint8, shape (n, 16), likewise."""
    version: Final[memoryview]
    """uint8."""
    protocol: Final[memoryview]
    """uint8."""
    src_port: Final[memoryview]
    """uint16."""
    dst_port: Final[memoryview]
    """uint16."""
    length: Final[memoryview]
    """uint32, bytes."""
    segments: Final[memoryview]
    """uint16."""
    segment_size: Final[memoryview]
    """uint16, bytes."""
    tcp_flags: Final[memoryview]
    """uint8."""
    ecn: Final[memoryview]
    """uint8, 0 to 3."""
    dscp: Final[memoryview]
    """uint8, 0 to 63."""
    flow: Final[memoryview]
    """uint64: a hash of protocol, addresses and ports, the same for all frames of a flow in one direction."""
    peer: Final[memoryview]
    """uint32: the tunnel's number of the peer; `peer_key` returns its public key."""
    marks: Final[memoryview]
    """uint32: the values of `mark`, 0 at first."""
    received_ns: Final[memoryview]
    """uint64: boot time of the drain that read the frame, nanoseconds."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Frame: ...
    def __iter__(self) -> Iterator[Frame]: ...
    def peer_key(self, number: int) -> str | None:
        """Returns the public key (base64) of a peer's number, or None if there is no such peer."""

    def where(self, **conditions: Any) -> list[int]:
        """Returns the indices of the frames that match all conditions, in order.

        protocol ("tcp", "udp", "icmp", "icmp6", "gre", "sctp" or a number), version, source, destination, address
        (either; an address or network as text), src_port, dst_port, port (either), length, segments, tcp_flags (text
        such as "S" or "SA": all of these set; "S/SA": of S and A just S), ecn, dscp, mark, peer (public key), bpf (an
        expression as for tcpdump). A collection matches any of its items, a range the numbers in it. Raises TypeError
        for an unknown condition, ValueError for an invalid value.
        """

    def data(self, index: int) -> memoryview:
        """Returns the frame's bytes from the IP header on, read-only; gathers a coalesced frame.

        The transport checksum may hold only the sum of the pseudo-header, as in captures with offloads. A view that
        is kept shows these bytes for ever. Raises BufferError if the views that are kept hold 16 MiB.
        """

    def drop(self, index: int, reason: str = "dropped") -> None:
        """Drops the frame and counts it under the reason.

        Raises ValueError unless the reason is 1 to 64 letters, digits and "_", and for the 65th reason of a stage.
        """

    def answer(self, index: int, packet: Any) -> None:
        """Drops the frame ("answered") and sends a packet (bytes from the IP header on, or scapy) the other way.

        Raises ValueError for an invalid IP packet.
        """

    def replace(self, index: int, packet: Any) -> None:
        """Replaces the bytes of the frame from the IP header on (bytes or scapy).

        Lengths, checksums and segment size are corrected; outbound, a new destination is routed. Raises ValueError for
        an invalid IP packet, or one above 65,535 bytes.
        """

    def insert(self, index: int, packet: Any) -> None:
        """Inserts a packet (bytes or scapy) before a frame; len(batch) is the end. Raises ValueError."""

    def hold(self, index: int) -> HeldFrame | None:
        """Takes the frame out, to be emitted later. If the stage holds too many, drops it and returns None."""

    def split(self, index: int) -> range:
        """Replaces the frame by its segments, each a row of its own, and returns their indices."""

    def mark(self, index: int, value: int) -> None:
        """Sets the mark (32 bits) of the frame, for later stages."""

    def set_ecn(self, index: int, ecn: int) -> None:
        """Sets the ECN field (0 to 3) of all segments of the frame. Raises ValueError."""

@final
class HeldFrame:
    """A frame that a stage holds. A held frame without a reference is dropped (reason "forgotten")."""

    direction: Final[str]
    """"inbound" or "outbound"."""
    length: Final[int]
    """Bytes from the IP header on."""
    segments: Final[int]
    flow: Final[int]
    received_ns: Final[int]
    """Boot time of the drain that read it, nanoseconds."""
    peer: Final[str | None]
    """The peer's public key in base64; None if it has no peer yet."""
    data: Final[memoryview]
    """Its bytes, read-only. Raises ValueError once it was emitted."""

    def to_scapy(self) -> Any:
        """Returns the frame as a scapy packet. Raises ValueError once it was emitted, ImportError without scapy."""

@final
class StageSlot:
    """A stage's place in a chain. `emit`, `wake_at` and `count` are the methods of `Stage`.

    Options of a slot: name, direction, peers, filter (conditions of `where`), reorders, on_error, tick_ms, hold_frames,
    hold_bytes as in pyfw.Stage; failures, stall_s, outcome as in `[[stages]]`.
    """

    name: Final[str]
    is_out: Final[bool]
    """Whether it was taken out of the chain because it failed."""
    is_busy: Final[bool]
    """Whether a call of the stage is running."""

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
        """Puts another stage into the slot between two calls of the old one, and calls `change` in between.

        If `change` raises, the old stage stays. Raises RuntimeError if the old stage is busy until the timeout.
        """

    def wait_idle(self, timeout_s: float = 2.0) -> None:
        """Waits until no call of the stage is running. Raises RuntimeError after the timeout."""

@final
class StageChain:
    """The stages of one tunnel, in order. An engine or a replay runs it; `try_packets` runs it by hand."""

    def __new__(cls) -> StageChain: ...
    is_entered: Final[bool]
    """Whether the calling thread is inside a call of one of the stages."""

    def slot(self, stage: object, **options: Any) -> StageSlot:
        """Creates a slot for a stage; see StageSlot for the options. `set` puts it into the chain.

        Raises TypeError and ValueError for an invalid option.
        """

    def set(self, slots: Sequence[StageSlot]) -> None:
        """Replaces the slots of the chain, between two batches."""

    def counters(self) -> ChainCounters:
        """Returns the counters of the stages in the chain."""

    def notices(self) -> list[dict[str, Any]]:
        """Takes what was not logged without an engine: "message", "stage", "reason" and "times" of each."""

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
        """Passes packets through the chain, for pyfw.StageTest. Raises ValueError for an invalid packet."""

    def try_tick(self, now_ns: int) -> None:
        """Calls the ticks that are due, for pyfw.StageTest."""

    def due_ns(self) -> int | None:
        """Returns when the next tick is due, boot nanoseconds; None if none is."""
