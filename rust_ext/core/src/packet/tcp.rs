//! TCP headers (RFC 9293 §3.1).

use super::{u16_at, u32_at};
use crate::frame::Frame;

/// IP protocol number.
pub const PROTOCOL: u8 = 6;
/// Bytes of a header without options.
pub const HEADER_LENGTH: usize = 20;
/// Offset of the checksum field.
pub const CHECKSUM_OFFSET: usize = 16;
/// Offset of the flags byte.
pub const FLAGS_OFFSET: usize = 13;

/// FIN: no more data from the sender.
pub const FIN: u8 = 0x01;
/// PSH: deliver without waiting for more.
pub const PSH: u8 = 0x08;
/// ACK: the acknowledgement number is valid.
pub const ACK: u8 = 0x10;
/// ECE: ECN echo (RFC 3168 §6.1).
pub const ECE: u8 = 0x40;
/// CWR: congestion window reduced.
pub const CWR: u8 = 0x80;

/// Sets the fields of a frame from its transport header; returns whether that is valid.
pub(super) fn parse(frame: &mut Frame, transport: &[u8]) -> bool {
    if transport.len() < HEADER_LENGTH {
        return false;
    }
    let length = usize::from(transport[12] >> 4) * 4;
    if length < HEADER_LENGTH || length > transport.len() {
        return false;
    }
    frame.source_port = u16_at(transport, 0);
    frame.destination_port = u16_at(transport, 2);
    frame.tcp_flags = transport[FLAGS_OFFSET];
    frame.header_length += length as u16;
    frame.checksum_offset = CHECKSUM_OFFSET as u16;
    true
}

/// Returns the sequence number of the first byte.
pub(crate) fn sequence(transport: &[u8]) -> u32 {
    u32_at(transport, 4)
}
