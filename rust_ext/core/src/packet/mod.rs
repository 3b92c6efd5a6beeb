//! Headers and checksums: what a packet says of itself, checked once.
//!
//! In: bytes that begin with an IP header. Out: a row with its headers as columns. Drops nothing
//! itself: what is no IP packet is an [`Invalid`], whose caller counts it. A transport header that
//! cannot be read is not invalid: the packet passes by its addresses alone.

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

/// Why bytes are no IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// Neither version 4 nor 6, or nothing at all.
    Version,
    /// The header is cut, or shorter than its minimum.
    Header,
    /// The length in the header is more than there is, or less than the header.
    Length,
}

/// Reads the headers of one packet that lies at `offset` of its batch's buffer. Bytes behind the
/// packet's own length are padding, and cut.
///
/// `header_length` is behind `transport_offset` exactly where a TCP or UDP header was read.
pub fn parse(bytes: &[u8], offset: u32) -> Result<Frame, Invalid> {
    let ip::Parsed { mut frame, fragment } = ip::parse(bytes, offset)?;
    if fragment {
        return Ok(frame);
    }
    let transport = &bytes[frame.transport_offset as usize..frame.length as usize];
    let read = match frame.protocol {
        tcp::PROTOCOL => tcp::parse(&mut frame, transport),
        udp::PROTOCOL => udp::parse(&mut frame, transport),
        _ => true,
    };
    if !read {
        frame.flags |= flags::NO_FLOW;
    }
    Ok(frame)
}

/// The big-endian word at `at`.
pub(crate) fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// The big-endian double word at `at`.
pub(crate) fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Writes a big-endian word at `at`.
pub(crate) fn set_word(bytes: &mut [u8], at: usize, word: u16) {
    bytes[at..at + 2].copy_from_slice(&word.to_be_bytes());
}
