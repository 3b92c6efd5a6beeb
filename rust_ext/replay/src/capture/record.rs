//! Byte order, records and their length checks, as both formats need them.

use std::ops::Range;

use super::link::LinkType;

/// Most bytes of a frame in a record (tcpdump's MAXIMUM_SNAPLEN; Wireshark's
/// WTAP_MAX_PACKET_SIZE_STANDARD).
const MAX_CAPTURED_LENGTH: u32 = 262_144;
/// Some writers (scapy) give a snap length of 65,535 without the link-layer header, so a frame may exceed it
/// slightly.
const LONGEST_PACKET: u32 = 65_535;
const LONGEST_LINK_HEADER: u32 = 64;

/// The byte order of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    /// Reads the field at `at`, which is in bounds.
    #[inline]
    pub(super) fn u16_at(self, bytes: &[u8], at: usize) -> u16 {
        let bytes = [bytes[at], bytes[at + 1]];
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    /// Reads the field at `at`, which is in bounds.
    #[inline]
    pub(super) fn u32_at(self, bytes: &[u8], at: usize) -> u32 {
        let bytes = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }
}

/// One frame of the capture.
pub(super) struct Record {
    pub(super) interface: u32,
    pub(super) link: LinkType,
    pub(super) time_ns: u64,
    /// Its bytes in the stream's window.
    pub(super) bytes: Range<usize>,
    /// Whether the frame was longer than the bytes captured.
    pub(super) is_truncated: bool,
}

/// Checks the lengths of a frame; a `snap_length` of 0 is no limit.
pub(super) fn check_lengths(captured: u32, original: u32, snap_length: u32) -> Result<(), String> {
    if captured > MAX_CAPTURED_LENGTH {
        return Err(format!(
            "the record claims {captured} captured bytes; the maximum is {MAX_CAPTURED_LENGTH}"
        ));
    }
    let limit = snap_length.max(LONGEST_PACKET).saturating_add(LONGEST_LINK_HEADER);
    if snap_length != 0 && captured > limit {
        return Err(format!(
            "the record claims {captured} captured bytes, but the snap length is {snap_length}"
        ));
    }
    if captured > original {
        return Err(format!(
            "the record claims {captured} captured bytes of a frame of {original} bytes"
        ));
    }
    Ok(())
}
