//! Packets: headers, checksums, segmentation, and WireGuard's message headers.
//!
//! A header is validated once, by [`parse`]; after that its accessors cannot fail. A packet with an invalid
//! transport header is not invalid itself: it is handled by its addresses alone.

pub mod checksum;
pub mod ip;
pub mod message_header;
pub mod pieces;
pub mod split;
pub mod tcp;
pub mod udp;
pub mod virtio;

#[cfg(test)]
pub(crate) mod build;
#[cfg(test)]
mod tests;

use crate::frame::{Frame, flags};

/// Why bytes are not an IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// Neither version 4 nor 6, or empty.
    Version,
    /// The header is truncated, or shorter than its minimum.
    Header,
    /// The length in the header exceeds the bytes, or is less than the header.
    Length,
}

/// Parses the headers of one packet, which lies at `offset` of its batch's buffer. Bytes behind the packet's own
/// length are padding and not part of the frame.
///
/// `header_length` exceeds `transport_offset` only if a TCP or UDP header was parsed.
pub fn parse(bytes: &[u8], offset: u32) -> Result<Frame, Invalid> {
    let ip::Parsed { mut frame, fragment } = ip::parse(bytes, offset)?;
    if fragment {
        return Ok(frame);
    }
    let transport = &bytes[frame.transport_offset as usize..frame.length as usize];
    let parsed = match frame.protocol {
        tcp::PROTOCOL => tcp::parse(&mut frame, transport),
        udp::PROTOCOL => udp::parse(&mut frame, transport),
        _ => true,
    };
    if !parsed {
        frame.flags |= flags::NO_FLOW;
    }
    Ok(frame)
}

/// Reads the big-endian 16-bit integer at offset `at`.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Reads the big-endian 32-bit integer at offset `at`.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Writes a big-endian 16-bit integer at offset `at`.
pub(crate) fn set_u16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}
