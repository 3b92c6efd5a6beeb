//! UDP headers (RFC 768).

use super::u16_at;
use crate::frame::Frame;

/// IP protocol number.
pub const PROTOCOL: u8 = 17;
/// Bytes of a header.
pub const HEADER_LENGTH: usize = 8;
/// Offset of the length field.
pub const LENGTH_OFFSET: usize = 4;
/// Offset of the checksum field.
pub const CHECKSUM_OFFSET: usize = 6;

/// Sets the fields of a frame from its transport header; returns whether that is valid.
pub(super) fn parse(frame: &mut Frame, transport: &[u8]) -> bool {
    if transport.len() < HEADER_LENGTH {
        return false;
    }
    let length = length(transport);
    if length < HEADER_LENGTH || length > transport.len() {
        return false;
    }
    frame.source_port = u16_at(transport, 0);
    frame.destination_port = u16_at(transport, 2);
    frame.header_length += HEADER_LENGTH as u16;
    frame.checksum_offset = CHECKSUM_OFFSET as u16;
    true
}

/// Returns the length of header and payload.
pub(crate) fn length(transport: &[u8]) -> usize {
    usize::from(u16_at(transport, LENGTH_OFFSET))
}

/// Returns the checksum as it is sent: 0 would mean "no checksum".
pub(crate) fn sent_checksum(checksum: u16) -> u16 {
    if checksum == 0 { 0xFFFF } else { checksum }
}
