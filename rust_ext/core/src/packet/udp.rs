//! UDP headers (RFC 768).

use super::word;
use crate::frame::Frame;

/// IP protocol number.
pub const PROTOCOL: u8 = 17;
/// A header.
pub const HEADER_LENGTH: usize = 8;
/// Where the length field is.
pub const LENGTH_OFFSET: usize = 4;
/// Where the checksum field is.
pub const CHECKSUM_OFFSET: usize = 6;

/// Fills the columns of a row from its transport header; says whether it could be read.
pub(super) fn parse(frame: &mut Frame, transport: &[u8]) -> bool {
    if transport.len() < HEADER_LENGTH {
        return false;
    }
    let length = length(transport);
    if length < HEADER_LENGTH || length > transport.len() {
        return false;
    }
    frame.source_port = word(transport, 0);
    frame.destination_port = word(transport, 2);
    frame.header_length += HEADER_LENGTH as u16;
    frame.checksum_offset = CHECKSUM_OFFSET as u16;
    true
}

/// Bytes of header and payload.
pub(crate) fn length(transport: &[u8]) -> usize {
    usize::from(word(transport, LENGTH_OFFSET))
}

/// The checksum as it is sent: 0 would say that there is none.
pub(crate) fn sent_checksum(checksum: u16) -> u16 {
    if checksum == 0 { 0xFFFF } else { checksum }
}
