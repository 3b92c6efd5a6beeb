//! split: a frame's segments, each written straight into the place where it is sent.
//!
//! In: a frame in one piece, and the number of a segment. Out: that segment, with the headers and
//! checksums that it has on the wire. Drops nothing. Order: a segment's number is its order; IPv4
//! identification and TCP sequence number rise with it, as Linux's inet_gso_segment and
//! tcp_gso_segment make them.

use crate::{
    frame::{Frame, flags},
    packet::{
        checksum::{Sum, pseudo_header, sum},
        ip, set_word, tcp, udp, word,
    },
};

/// A frame, ready to be cut: what all its segments share was computed once.
pub struct Segments {
    count: usize,
    length: usize,
    header_length: usize,
    segment_size: usize,
    shape: Shape,
}

enum Shape {
    /// One packet; its checksum starts and lies there, if it is to be completed.
    Whole { partial: Option<(usize, usize)> },
    /// Several of a flow.
    Cut(Template),
}

/// What the segments' headers share. Sums leave out what differs.
struct Template {
    version: u8,
    transport_offset: usize,
    identification: u16,
    ip: Sum,
    transport: Sum,
    kind: Kind,
}

enum Kind {
    Tcp { sequence: u32, segment_size: u32 },
    Udp,
}

impl Segments {
    /// Looks at a frame whose bytes are `bytes`, in one piece.
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
            let shape = Shape::Whole { partial };
            return Self { count: 1, length, header_length, segment_size: length, shape };
        };
        let count = (length - header_length).div_ceil(segment_size);
        let shape = Shape::Cut(Template::new(frame, &bytes[..length], is_tcp));
        Self { count, length, header_length, segment_size, shape }
    }

    /// How many segments there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes of segment `i`.
    pub fn length(&self, i: usize) -> usize {
        match self.shape {
            Shape::Whole { .. } => self.length,
            Shape::Cut(_) => {
                (self.header_length + self.segment_size).min(self.length - i * self.segment_size)
            }
        }
    }

    /// Writes segment `i` into a slot of exactly its length. `bytes` are those given to `new`.
    pub fn write(&self, i: usize, bytes: &[u8], slot: &mut [u8]) {
        match &self.shape {
            Shape::Whole { partial } => {
                slot.copy_from_slice(&bytes[..self.length]);
                if let Some((start, field)) = *partial {
                    complete(slot, start, field);
                }
            }
            Shape::Cut(template) => {
                let (header, payload) = slot.split_at_mut(self.header_length);
                header.copy_from_slice(&bytes[..self.header_length]);
                let from = self.header_length + i * self.segment_size;
                payload.copy_from_slice(&bytes[from..from + payload.len()]);
                template.patch(header, payload, i, i + 1 == self.count);
            }
        }
    }
}

/// Takes the first segment from a frame of at least three: its headers move up over what is dropped, and
/// number the rest as they would have been numbered. Of two, one packet would be left, which is another
/// kind of frame. Returns whether it was done.
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
        set_word(header, 4, identification);
    }
    ip::set_length(header, frame.version, frame.length as usize);
    let transport = &mut header[usize::from(frame.transport_offset)..];
    if frame.protocol == tcp::PROTOCOL {
        let sequence = tcp::sequence(transport).wrapping_add(size as u32);
        transport[4..8].copy_from_slice(&sequence.to_be_bytes());
        // It is the first segment's alone.
        transport[tcp::FLAGS_OFFSET] &= !tcp::CWR;
        frame.tcp_flags &= !tcp::CWR;
    } else {
        let length = frame.length as u16 - frame.transport_offset;
        set_word(transport, udp::LENGTH_OFFSET, length);
    }
    // The pseudo-header's length.
    let field = usize::from(frame.checksum_offset);
    let partial = Sum::of(word(transport, field)).without(size as u16).fold();
    set_word(transport, field, partial);
    true
}

/// Completes a checksum whose field holds the pseudo-header's sum. 0 becomes its equal 0xFFFF
/// whatever the protocol, as in Linux's skb_checksum_help: UDP must not send 0.
fn complete(packet: &mut [u8], start: usize, field: usize) {
    let checksum = sum(&packet[start..]).checksum();
    set_word(packet, field, udp::sent_checksum(checksum));
}

impl Template {
    fn new(frame: &Frame, bytes: &[u8], is_tcp: bool) -> Self {
        let transport_offset = usize::from(frame.transport_offset);
        let (identification, ip) = if frame.version == 4 {
            // All but total length, identification and checksum.
            let kept = sum(&bytes[..2]) + sum(&bytes[6..10]) + sum(&bytes[12..transport_offset]);
            (ip::identification(bytes), kept)
        } else {
            (0, Sum::default())
        };
        let header = &bytes[transport_offset..usize::from(frame.header_length)];
        let (kind, own, field) = if is_tcp {
            // All but sequence number, flags and checksum.
            let own = sum(&header[..4]) + sum(&header[8..12]) + sum(&header[14..16]);
            let kind = Kind::Tcp {
                sequence: tcp::sequence(header),
                segment_size: frame.segment_size.into(),
            };
            (kind, own + sum(&header[18..]), tcp::CHECKSUM_OFFSET)
        } else {
            (Kind::Udp, sum(&header[..4]), udp::CHECKSUM_OFFSET)
        };
        let pseudo = if frame.flags & flags::NO_FLOW == 0 {
            pseudo_header(ip::addresses(bytes, frame.version), frame.protocol, 0)
        } else {
            // A routing header hides the final destination: what the field holds knows it.
            Sum::of(word(header, field)).without((bytes.len() - transport_offset) as u16)
        };
        let transport = own + pseudo;
        let version = frame.version;
        Self { version, transport_offset, identification, ip, transport, kind }
    }

    fn patch(&self, header: &mut [u8], payload: &[u8], i: usize, last: bool) {
        let length = header.len() + payload.len();
        if self.version == 4 {
            let identification = self.identification.wrapping_add(i as u16);
            set_word(header, 2, length as u16);
            set_word(header, 4, identification);
            let sum = self.ip + Sum::of(length as u16) + Sum::of(identification);
            set_word(header, 10, sum.checksum());
        } else {
            set_word(header, 4, (length - ip::V6_HEADER_LENGTH) as u16);
        }
        let transport = &mut header[self.transport_offset..];
        let length = length - self.transport_offset;
        let shared = self.transport + Sum::of(length as u16) + sum(payload);
        match self.kind {
            Kind::Tcp { sequence, segment_size } => {
                let sequence = sequence.wrapping_add(i as u32 * segment_size);
                transport[4..8].copy_from_slice(&sequence.to_be_bytes());
                if i > 0 {
                    transport[tcp::FLAGS_OFFSET] &= !tcp::CWR;
                }
                if !last {
                    transport[tcp::FLAGS_OFFSET] &= !(tcp::FIN | tcp::PSH);
                }
                let own = sum(&transport[4..8]) + Sum::of(word(transport, tcp::FLAGS_OFFSET - 1));
                set_word(transport, tcp::CHECKSUM_OFFSET, (shared + own).checksum());
            }
            Kind::Udp => {
                set_word(transport, udp::LENGTH_OFFSET, length as u16);
                let checksum = (shared + Sum::of(length as u16)).checksum();
                set_word(transport, udp::CHECKSUM_OFFSET, udp::sent_checksum(checksum));
            }
        }
    }
}

/// All segments of a frame whose bytes are `bytes`, in order.
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
