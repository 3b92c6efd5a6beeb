//! A frame with its parsed headers, and the batch of frames that moves through the stages.
//!
//! The frames of a drain lie in one buffer. A frame from the TUN is contiguous; a coalesced frame is a list of
//! slices of the receive buffer, the first of which begins with the headers. Headers are parsed once.

use std::net::IpAddr;

/// A part of the batch's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// First byte.
    pub offset: u32,
    /// Bytes.
    pub length: u32,
}

/// Properties of a frame that its other fields do not show.
pub mod flags {
    /// The transport checksum field holds only the pseudo-header's sum (virtio NEEDS_CSUM).
    pub const PARTIAL_CHECKSUM: u8 = 1;
    /// A fragment, IPv6 with extension headers, or an invalid transport header: its flow is not known.
    pub const NO_FLOW: u8 = 2;
    /// IPv4 with options.
    pub const IP_OPTIONS: u8 = 4;
}

/// An IP packet, or a super-packet of several segments of one flow.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Source address; an IPv4 address in the first four bytes, the rest 0.
    pub source: [u8; 16],
    /// Destination address, likewise.
    pub destination: [u8; 16],
    /// The peer that it goes to or came from; [`NO_PEER`] before routing.
    pub peer: u32,
    /// Offset of the IP header in the batch's buffer.
    pub offset: u32,
    /// Bytes of the whole packet, headers included.
    pub length: u32,
    /// Index of its first slice in the batch if `slices` is not 0.
    pub first_slice: u32,
    /// A value that a stage sets for later stages; 0 at first.
    pub mark: u32,
    /// Number of slices; 0 if the frame is contiguous at `offset`.
    pub slices: u16,
    /// Number of inner segments, at least 1.
    pub segments: u16,
    /// Payload bytes of each segment but a shorter last one; 0 for a single segment.
    pub segment_size: u16,
    /// Bytes of IP and transport header, which each segment repeats.
    pub header_length: u16,
    /// Offset of the transport header from the IP header.
    pub transport_offset: u16,
    /// Offset of the checksummed part from the IP header (virtio csum_start). It may lie behind the transport
    /// header, inside an encapsulation.
    pub checksum_start: u16,
    /// Offset of the checksum field from `checksum_start`.
    pub checksum_offset: u16,
    /// TCP or UDP source port; 0 for others.
    pub source_port: u16,
    /// TCP or UDP destination port; 0 for others.
    pub destination_port: u16,
    /// 4 or 6.
    pub version: u8,
    /// IP protocol number (IPv6: of the first header that is not a known extension).
    pub protocol: u8,
    /// The DS byte: DSCP in the upper six bits, ECN in the lower two.
    pub ds: u8,
    /// TCP flags byte; 0 for others.
    pub tcp_flags: u8,
    /// Bits of [`flags`].
    pub flags: u8,
}

/// The peer of a frame that is not routed yet.
pub const NO_PEER: u32 = u32::MAX;

impl Frame {
    /// The source address.
    pub fn source_ip(&self) -> IpAddr {
        address(self.version, &self.source)
    }

    /// The destination address.
    pub fn destination_ip(&self) -> IpAddr {
        address(self.version, &self.destination)
    }

    /// Returns a hash of the flow (protocol, addresses, ports) that is the same on every machine. Fragments
    /// count as a flow of their addresses.
    pub fn flow(&self) -> u64 {
        let u64_at = |bytes: &[u8; 16], at: usize| {
            u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
        };
        let ports = u64::from(self.source_port) << 16 | u64::from(self.destination_port);
        let protocol = u64::from(self.protocol) << 8 | u64::from(self.version);
        [
            u64_at(&self.source, 0),
            u64_at(&self.source, 8),
            u64_at(&self.destination, 0),
            u64_at(&self.destination, 8),
            protocol << 32 | ports,
        ]
        .into_iter()
        .fold(0, |hash, part| mix(hash ^ part))
    }

    /// The bytes of a contiguous frame.
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

/// The frames of one drain. The path that filled their buffer keeps it.
#[derive(Debug, Default)]
pub struct FrameBatch {
    /// In order of arrival.
    pub frames: Vec<Frame>,
    /// Slices of the frames that are not contiguous.
    pub slices: Vec<Slice>,
    /// The time of the drain, boot nanoseconds.
    pub received_ns: u64,
}

impl FrameBatch {
    /// Empties the batch and keeps its capacity.
    pub fn clear(&mut self) {
        self.frames.clear();
        self.slices.clear();
    }
}
