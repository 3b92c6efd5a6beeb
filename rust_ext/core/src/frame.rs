//! A frame, its header columns, and the batch that moves through the stages.
//!
//! A drain's frames share one buffer; a row of the batch says where each lies and what its headers
//! say, parsed once. A frame that came from the TUN is one piece; a coalesced frame is a list of
//! slices of the receive buffer, the first with the headers. Order: rows are in order of arrival.

use std::net::IpAddr;

/// A piece of the batch's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// First byte.
    pub offset: u32,
    /// Bytes.
    pub length: u32,
}

/// What was found out about a frame, beside its headers.
pub mod flags {
    /// The transport checksum field holds only the pseudo-header's sum (virtio NEEDS_CSUM).
    pub const PARTIAL_CHECKSUM: u8 = 1;
    /// A fragment, or IPv6 with extension headers: ports and flags below are not those of a flow.
    pub const NO_FLOW: u8 = 2;
    /// IPv4 with options.
    pub const IP_OPTIONS: u8 = 4;
}

/// One row: an IP packet, or a super-packet of several segments of one flow.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Source address; IPv4 in the first four bytes, the rest 0.
    pub source: [u8; 16],
    /// Destination address, likewise.
    pub destination: [u8; 16],
    /// The peer it goes to or came from; `NO_PEER` before routing.
    pub peer: u32,
    /// The first byte of the IP header in the batch's buffer.
    pub offset: u32,
    /// Bytes from the IP header to the end; all slices together where there are several.
    pub length: u32,
    /// Index of its first slice in the batch, where `slices` is not 0.
    pub first_slice: u32,
    /// What a stage wrote on it, for the stages behind; 0 at first.
    pub mark: u32,
    /// How many slices; 0 where the frame is one piece at `offset`.
    pub slices: u16,
    /// Inner segments it stands for, at least 1.
    pub segments: u16,
    /// Payload bytes of each segment but the last, which may be shorter; 0 with one segment.
    pub segment_size: u16,
    /// Bytes of IP and transport header that each segment repeats.
    pub header_length: u16,
    /// Where the transport header starts, from the IP header.
    pub transport_offset: u16,
    /// Where the checksummed part starts, from the IP header (virtio csum_start); it may lie deeper
    /// than the transport header, inside an encapsulation.
    pub checksum_start: u16,
    /// Where the checksum field is, from `checksum_start`.
    pub checksum_offset: u16,
    /// TCP or UDP source port; 0 for others.
    pub source_port: u16,
    /// TCP or UDP destination port; 0 for others.
    pub destination_port: u16,
    /// 4 or 6.
    pub version: u8,
    /// IP protocol number (IPv6: of the first header that is not an extension known to us).
    pub protocol: u8,
    /// The DS byte: DSCP in the upper six bits, ECN in the lower two.
    pub ds: u8,
    /// TCP flags byte; 0 for others.
    pub tcp_flags: u8,
    /// See [`flags`].
    pub flags: u8,
}

/// The peer of a frame that was not routed.
pub const NO_PEER: u32 = u32::MAX;

impl Frame {
    /// The source address as a value.
    pub fn source_ip(&self) -> IpAddr {
        address(self.version, &self.source)
    }

    /// The destination address as a value.
    pub fn destination_ip(&self) -> IpAddr {
        address(self.version, &self.destination)
    }

    /// A hash of its flow (protocol, addresses, ports), the same on every machine. Fragments have the
    /// flow of their addresses.
    pub fn flow(&self) -> u64 {
        let word = |bytes: &[u8; 16], at: usize| {
            u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
        };
        let ports = u64::from(self.source_port) << 16 | u64::from(self.destination_port);
        let kind = u64::from(self.protocol) << 8 | u64::from(self.version);
        [
            word(&self.source, 0),
            word(&self.source, 8),
            word(&self.destination, 0),
            word(&self.destination, 8),
            kind << 32 | ports,
        ]
        .into_iter()
        .fold(0, |hash, part| mix(hash ^ part))
    }

    /// The frame's bytes, where it is one piece.
    pub fn bytes<'b>(&self, buffer: &'b [u8]) -> &'b [u8] {
        &buffer[self.offset as usize..(self.offset + self.length) as usize]
    }
}

/// The finalizer of splitmix64 (Steele, Lea, Flood 2014).
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ value >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ value >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ value >> 31
}

fn address(version: u8, bytes: &[u8; 16]) -> IpAddr {
    match version {
        4 => IpAddr::from([bytes[0], bytes[1], bytes[2], bytes[3]]),
        _ => IpAddr::from(*bytes),
    }
}

/// The rows of one drain. The buffer they point into stays with the path that filled it.
#[derive(Debug, Default)]
pub struct FrameBatch {
    /// Rows in order of arrival.
    pub frames: Vec<Frame>,
    /// Slices of frames that are several pieces.
    pub slices: Vec<Slice>,
    /// The clock read of the drain, boot nanoseconds.
    pub received_ns: u64,
}

impl FrameBatch {
    /// Empties the batch and keeps its room.
    pub fn clear(&mut self) {
        self.frames.clear();
        self.slices.clear();
    }
}
