//! What both formats say of a frame, and what of it is believed.
//!
//! In: fields in the writer's byte order. Out: a record, or what is wrong with its lengths.

use std::ops::Range;

use super::link::LinkType;

/// No record holds more bytes of a frame (tcpdump's MAXIMUM_SNAPLEN; Wireshark's
/// WTAP_MAX_PACKET_SIZE_STANDARD).
const MAX_CAPTURED_LENGTH: u32 = 262_144;
/// Writers that say 65,535 (scapy) put the link layer of a packet of 64 KiB on top, so that a frame
/// may be a little longer than the snap length says.
const LONGEST_PACKET: u32 = 65_535;
const LONGEST_LINK_HEADER: u32 = 64;

/// The byte order of whoever wrote the capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    /// The word at `at`, which is inside.
    #[inline]
    pub(super) fn word(self, bytes: &[u8], at: usize) -> u16 {
        let bytes = [bytes[at], bytes[at + 1]];
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    /// The double word at `at`, which is inside.
    #[inline]
    pub(super) fn long(self, bytes: &[u8], at: usize) -> u32 {
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
    /// Where its bytes lie in the stream's window.
    pub(super) bytes: Range<usize>,
    /// There was more of the frame than was captured.
    pub(super) cut: bool,
}

/// Judges the lengths of a frame: `snap_length` 0 is no limit.
pub(super) fn check_lengths(captured: u32, original: u32, snap_length: u32) -> Result<(), String> {
    if captured > MAX_CAPTURED_LENGTH {
        return Err(format!(
            "the record says that it holds {captured} bytes of a frame; at most \
             {MAX_CAPTURED_LENGTH} are possible"
        ));
    }
    let limit = snap_length.max(LONGEST_PACKET).saturating_add(LONGEST_LINK_HEADER);
    if snap_length != 0 && captured > limit {
        return Err(format!(
            "the record says that it holds {captured} bytes of a frame, but the capture's snap \
             length is {snap_length}"
        ));
    }
    if captured > original {
        return Err(format!(
            "the record says that it holds {captured} bytes of a frame of {original}; it cannot \
             hold more than there were"
        ));
    }
    Ok(())
}
