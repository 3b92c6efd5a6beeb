//! Segmentation: writes the segments of a contiguous frame, each straight into the buffer that is sent.
//!
//! Headers and checksums are those of Linux's inet_gso_segment and tcp_gso_segment: IPv4's identification and TCP's
//! sequence number rise with the number of the segment.

use crate::{
    frame::{Frame, flags},
    packet::{
        checksum::{Sum, pseudo_header, sum},
        ip, set_u16, tcp, u16_at, udp,
    },
};

/// The segments of a frame. Their shared parts are computed once.
pub struct Segments {
    count: usize,
    length: usize,
    header_length: usize,
    segment_size: usize,
    shape: Shape,
}

enum Shape {
    /// A single packet; if its checksum must be completed, the offsets of the checksummed part and of the field.
    Single { partial: Option<(usize, usize)> },
    /// Several segments.
    Multiple(Template),
}

/// The shared parts of the segments' headers. The sums leave out the fields that differ.
struct Template {
    version: u8,
    transport_offset: usize,
    identification: u16,
    ip: Sum,
    transport: Sum,
    transport_kind: TransportKind,
}

enum TransportKind {
    Tcp { sequence: u32, segment_size: u32 },
    Udp,
}

impl Segments {
    /// Prepares the segments of a contiguous frame whose bytes are `bytes`.
    pub fn new(frame: &Frame, bytes: &[u8]) -> Self {
        let length = frame.length as usize;
        let header_length = usize::from(frame.header_length);
        let segment_size = usize::from(frame.segment_size);
        let shape = match frame.protocol {
            _ if frame.segments <= 1 || segment_size == 0 => None,
            tcp::PROTOCOL => Some(true),
            udp::PROTOCOL => Some(false),
            _ => None,
        };
        let Some(is_tcp) = shape else {
            let partial = (frame.flags & flags::PARTIAL_CHECKSUM != 0).then(|| {
                let start = usize::from(frame.checksum_start);
                (start, start + usize::from(frame.checksum_offset))
            });
            let shape = Shape::Single { partial };
            return Self { count: 1, length, header_length, segment_size: length, shape };
        };
        let count = (length - header_length).div_ceil(segment_size);
        let shape = Shape::Multiple(Template::new(frame, &bytes[..length], is_tcp));
        Self { count, length, header_length, segment_size, shape }
    }

    /// The number of segments.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The length of segment `i`.
    pub fn length(&self, i: usize) -> usize {
        match self.shape {
            Shape::Single { .. } => self.length,
            Shape::Multiple(_) => {
                (self.header_length + self.segment_size).min(self.length - i * self.segment_size)
            }
        }
    }

    /// Writes segment `i` into a slot of exactly its length. `bytes` must be those of `new`.
    pub fn write(&self, i: usize, bytes: &[u8], slot: &mut [u8]) {
        match &self.shape {
            Shape::Single { partial } => {
                slot.copy_from_slice(&bytes[..self.length]);
                if let Some((start, field)) = *partial {
                    complete_checksum(slot, start, field);
                }
            }
            Shape::Multiple(template) => {
                let (header, payload) = slot.split_at_mut(self.header_length);
                header.copy_from_slice(&bytes[..self.header_length]);
                let from = self.header_length + i * self.segment_size;
                payload.copy_from_slice(&bytes[from..from + payload.len()]);
                template.patch(header, payload, i, i + 1 == self.count);
            }
        }
    }
}

/// Removes the first segment of a frame of at least three: the headers move over its payload, and the other segments
/// keep their sequence numbers and identifications. Returns false for fewer segments: the rest of two would be a
/// single packet.
pub fn drop_first(frame: &mut Frame, buffer: &mut [u8]) -> bool {
    if frame.segments < 3 {
        return false;
    }
    let (start, size) = (frame.offset as usize, usize::from(frame.segment_size));
    let header_length = usize::from(frame.header_length);
    buffer.copy_within(start..start + header_length, start + size);
    frame.offset += size as u32;
    frame.length -= size as u32;
    frame.segments -= 1;
    let header = &mut buffer[frame.offset as usize..][..header_length];
    if frame.version == 4 {
        let identification = ip::identification(header).wrapping_add(1);
        set_u16(header, 4, identification);
    }
    ip::set_length(header, frame.version, frame.length as usize);
    let transport = &mut header[usize::from(frame.transport_offset)..];
    if frame.protocol == tcp::PROTOCOL {
        let sequence = tcp::sequence(transport).wrapping_add(size as u32);
        transport[4..8].copy_from_slice(&sequence.to_be_bytes());
        // CWR belongs to the first segment only.
        transport[tcp::FLAGS_OFFSET] &= !tcp::CWR;
        frame.tcp_flags &= !tcp::CWR;
    } else {
        let length = frame.length as u16 - frame.transport_offset;
        set_u16(transport, udp::LENGTH_OFFSET, length);
    }
    // The length is part of the pseudo-header.
    let field = usize::from(frame.checksum_offset);
    let partial = Sum::of(u16_at(transport, field)).without(size as u16).fold();
    set_u16(transport, field, partial);
    true
}

/// Completes a checksum whose field holds the pseudo-header's sum. For every protocol, 0 becomes its equal 0xFFFF as
/// in Linux's skb_checksum_help, because UDP must not send 0.
fn complete_checksum(packet: &mut [u8], start: usize, field: usize) {
    let checksum = sum(&packet[start..]).checksum();
    set_u16(packet, field, udp::sent_checksum(checksum));
}

impl Template {
    fn new(frame: &Frame, bytes: &[u8], is_tcp: bool) -> Self {
        let transport_offset = usize::from(frame.transport_offset);
        let (identification, ip) = if frame.version == 4 {
            // All but total length, identification and checksum.
            let shared = sum(&bytes[..2]) + sum(&bytes[6..10]) + sum(&bytes[12..transport_offset]);
            (ip::identification(bytes), shared)
        } else {
            (0, Sum::default())
        };
        let header = &bytes[transport_offset..usize::from(frame.header_length)];
        let (transport_kind, header_sum, field) = if is_tcp {
            // All but sequence number, flags and checksum.
            let fixed = sum(&header[..4]) + sum(&header[8..12]) + sum(&header[14..16]);
            let kind = TransportKind::Tcp {
                sequence: tcp::sequence(header),
                segment_size: frame.segment_size.into(),
            };
            (kind, fixed + sum(&header[18..]), tcp::CHECKSUM_OFFSET)
        } else {
            (TransportKind::Udp, sum(&header[..4]), udp::CHECKSUM_OFFSET)
        };
        let pseudo = if frame.flags & flags::NO_FLOW == 0 {
            pseudo_header(ip::addresses(bytes, frame.version), frame.protocol, 0)
        } else {
            // A routing header hides the final destination; the sum in the field includes it.
            Sum::of(u16_at(header, field)).without((bytes.len() - transport_offset) as u16)
        };
        Self {
            version: frame.version,
            transport_offset,
            identification,
            ip,
            transport: header_sum + pseudo,
            transport_kind,
        }
    }

    fn patch(&self, header: &mut [u8], payload: &[u8], i: usize, last: bool) {
        let length = header.len() + payload.len();
        if self.version == 4 {
            let identification = self.identification.wrapping_add(i as u16);
            set_u16(header, 2, length as u16);
            set_u16(header, 4, identification);
            let sum = self.ip + Sum::of(length as u16) + Sum::of(identification);
            set_u16(header, 10, sum.checksum());
        } else {
            set_u16(header, 4, (length - ip::V6_HEADER_LENGTH) as u16);
        }
        let transport = &mut header[self.transport_offset..];
        let length = length - self.transport_offset;
        let shared = self.transport + Sum::of(length as u16) + sum(payload);
        match self.transport_kind {
            TransportKind::Tcp { sequence, segment_size } => {
                let sequence = sequence.wrapping_add(i as u32 * segment_size);
                transport[4..8].copy_from_slice(&sequence.to_be_bytes());
                if i > 0 {
                    transport[tcp::FLAGS_OFFSET] &= !tcp::CWR;
                }
                if !last {
                    transport[tcp::FLAGS_OFFSET] &= !(tcp::FIN | tcp::PSH);
                }
                let flags = Sum::of(u16_at(transport, tcp::FLAGS_OFFSET - 1));
                let checksum = (shared + sum(&transport[4..8]) + flags).checksum();
                set_u16(transport, tcp::CHECKSUM_OFFSET, checksum);
            }
            TransportKind::Udp => {
                set_u16(transport, udp::LENGTH_OFFSET, length as u16);
                let checksum = (shared + Sum::of(length as u16)).checksum();
                set_u16(transport, udp::CHECKSUM_OFFSET, udp::sent_checksum(checksum));
            }
        }
    }
}

/// Returns all segments of a frame, in order.
#[cfg(test)]
pub(crate) fn all(frame: &Frame, bytes: &[u8]) -> Vec<Vec<u8>> {
    let segments = Segments::new(frame, bytes);
    assert_eq!(segments.count(), usize::from(frame.segments));
    let write = |i| {
        let mut slot = vec![0xAA; segments.length(i)];
        segments.write(i, bytes, &mut slot);
        slot
    };
    (0..segments.count()).map(write).collect()
}

#[cfg(test)]
mod tests;
