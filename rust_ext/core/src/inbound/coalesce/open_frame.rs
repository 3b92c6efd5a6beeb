//! A frame that was opened in this drain and may be extended by later segments of its flow, until it is closed.

use super::segment::{Segment, checksums_are_right, headers_agree};
use crate::{
    frame::{Frame, Slice, flags},
    packet::{
        checksum::{Sum, pseudo_header},
        ip, set_u16, tcp, udp,
    },
};

/// UDP_MAX_SEGMENTS of Linux's include/linux/udp.h before 6.9; later kernels take 128.
const MAX_UDP_SEGMENTS: u16 = 64;
/// Segments of a frame, which is written by one writev: far below IOV_MAX (1024), and above the 45 segments of 1,448
/// bytes of a full frame.
const MAX_SEGMENTS: u16 = 256;

pub(super) struct OpenFrame {
    row: u32,
    slot: u32,
    first_length: u32,
    length: u32,
    segment_size: u32,
    next_sequence: u32,
    identification: u16,
    identifications: Identifications,
    segments: u16,
    closed: bool,
    psh: bool,
    /// The first segment's checksums were verified.
    verified: bool,
    /// The sum of addresses and protocol, computed for the second segment.
    shared: Sum,
    next_slice: u32,
}

/// How IPv4 identifications continue. Without DF they must rise by one. With DF they have no meaning (RFC 6864), and
/// senders either raise them or leave them constant: the second segment shows which, as in Linux's
/// inet_gro_receive and tcp_gro_receive (is_atomic).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Identifications {
    Unknown,
    Rising,
    Constant,
}

/// The result of extending a frame by a segment.
pub(super) enum Extension {
    /// The segment is part of the frame.
    Merged,
    /// The frame is closed; the segment may open another.
    Refused,
    /// The segment's checksum is wrong: the frame is closed, and the segment opens none.
    Damaged,
}

impl OpenFrame {
    pub(super) fn new(
        slot: u32,
        row: usize,
        frame: &Frame,
        segment: &Segment,
        psh_closes: bool,
    ) -> Self {
        Self {
            row: row as u32,
            slot,
            first_length: frame.length,
            length: frame.length,
            segment_size: segment.payload_length,
            next_sequence: segment.sequence.wrapping_add(segment.payload_length),
            identification: segment.identification,
            identifications: Identifications::Unknown,
            segments: 1,
            closed: psh_closes && segment.psh,
            psh: segment.psh,
            verified: false,
            shared: Sum::default(),
            next_slice: 0,
        }
    }

    pub(super) fn row(&self) -> usize {
        self.row as usize
    }

    pub(super) fn slot(&self) -> u32 {
        self.slot
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Extends the frame by the next segment of its flow, or closes it.
    pub(super) fn extend(
        &mut self,
        segment: &Segment,
        frame: &Frame,
        rows: &[Frame],
        buffer: &[u8],
        psh_closes: bool,
    ) -> Extension {
        let first = &rows[self.row()];
        let first_bytes = first.bytes(buffer);
        let bytes = frame.bytes(buffer);
        let Some(identifications) = self.check_headers(segment, first, first_bytes, frame, bytes)
        else {
            self.closed = true;
            return Extension::Refused;
        };
        if !self.verified {
            let addresses = ip::addresses(first_bytes, first.version);
            self.shared = pseudo_header(addresses, first.protocol, 0);
            if !checksums_are_right(first_bytes, first, self.shared) {
                self.closed = true;
                return Extension::Refused;
            }
            self.verified = true;
        }
        if !checksums_are_right(bytes, frame, self.shared) {
            self.closed = true;
            return Extension::Damaged;
        }
        self.identifications = identifications;
        self.length += segment.payload_length;
        self.segments += 1;
        self.next_sequence = self.next_sequence.wrapping_add(segment.payload_length);
        self.psh |= segment.psh;
        self.closed = segment.payload_length < self.segment_size || psh_closes && segment.psh;
        Extension::Merged
    }

    /// Returns how identifications continue, or `None` if the segment's headers do not allow it to be merged.
    fn check_headers(
        &self,
        segment: &Segment,
        first: &Frame,
        first_bytes: &[u8],
        frame: &Frame,
        bytes: &[u8],
    ) -> Option<Identifications> {
        let is_tcp = frame.protocol == tcp::PROTOCOL;
        let max_segments = if is_tcp { MAX_SEGMENTS } else { MAX_UDP_SEGMENTS };
        if self.closed
            || self.segments >= max_segments
            || segment.payload_length > self.segment_size
            || (self.length + segment.payload_length) as usize > ip::MAX_LENGTH
            || is_tcp && segment.sequence != self.next_sequence
            || first.header_length != frame.header_length
        {
            return None;
        }
        let header_length = usize::from(frame.header_length);
        if !headers_agree(&first_bytes[..header_length], &bytes[..header_length], frame) {
            return None;
        }
        if frame.version != 4 {
            return Some(Identifications::Unknown);
        }
        let rise = segment.identification.wrapping_sub(self.identification);
        match self.identifications {
            Identifications::Constant if rise == 0 => Some(Identifications::Constant),
            Identifications::Constant => None,
            _ if rise == self.segments => Some(Identifications::Rising),
            Identifications::Unknown if rise == 0 && ip::dont_fragment(bytes) => {
                Some(Identifications::Constant)
            }
            _ => None,
        }
    }

    /// Ends the drain: reserves the slices of a merged frame, updates its row and writes its header.
    pub(super) fn finish(&mut self, row: &mut Frame, slices: &mut Vec<Slice>, buffer: &mut [u8]) {
        if self.segments == 1 {
            return;
        }
        row.first_slice = slices.len() as u32;
        row.slices = self.segments;
        row.segments = self.segments;
        row.segment_size = self.segment_size as u16;
        row.length = self.length;
        row.flags |= flags::PARTIAL_CHECKSUM;
        let first = Slice { offset: row.offset, length: self.first_length };
        slices.resize(slices.len() + usize::from(self.segments), first);
        self.next_slice = row.first_slice + 1;

        let header = &mut buffer[row.offset as usize..][..usize::from(row.header_length)];
        ip::set_length(header, row.version, self.length as usize);
        let transport = &mut header[usize::from(row.transport_offset)..];
        let transport_length = self.length as u16 - row.transport_offset;
        let partial = (self.shared + Sum::of(transport_length)).fold();
        let field = usize::from(row.checksum_offset);
        set_u16(transport, field, partial);
        if row.protocol == tcp::PROTOCOL {
            if self.psh {
                transport[tcp::FLAGS_OFFSET] |= tcp::PSH;
                row.tcp_flags |= tcp::PSH;
            }
        } else {
            set_u16(transport, udp::LENGTH_OFFSET, transport_length);
        }
    }

    /// Returns the index of the next payload's slice.
    pub(super) fn next_slice(&mut self) -> usize {
        self.next_slice += 1;
        self.next_slice as usize - 1
    }
}
