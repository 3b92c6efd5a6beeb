//! tun_ingress: a read from the TUN becomes a frame of the batch.
//!
//! In: one read: a virtio-net header, then a packet or a super-packet of several segments. Out: a frame with
//! its headers parsed and its segments counted. Drops: bytes that are no IP packet, and a virtio-net header
//! that contradicts its packet. Order: each read appends one frame.

use crate::{
    drop_reason::OutboundDrop,
    frame::{Frame, FrameBatch, flags},
    packet::{
        self, tcp, udp,
        virtio::{self, VirtioHeader},
    },
};

/// Appends one read of `bytes_read` bytes, virtio-net header included, at `offset` of the buffer. The header
/// length in the virtio-net header is a hint without guarantee and is ignored.
pub fn accept(
    batch: &mut FrameBatch,
    buffer: &[u8],
    offset: usize,
    bytes_read: usize,
) -> Result<(), OutboundDrop> {
    let read = buffer.get(offset..).and_then(|rest| rest.get(..bytes_read));
    let read = read.ok_or(OutboundDrop::VirtioHeader)?;
    let header = VirtioHeader::read(read).ok_or(OutboundDrop::VirtioHeader)?;
    let packet = &read[virtio::VIRTIO_HEADER_LENGTH..];
    let mut frame = packet::parse(packet, (offset + virtio::VIRTIO_HEADER_LENGTH) as u32)
        .map_err(|_| OutboundDrop::InvalidPacket)?;
    if !set_checksum(&mut frame, &header) || !set_segments(&mut frame, &header) {
        return Err(OutboundDrop::VirtioHeader);
    }
    batch.frames.push(frame);
    Ok(())
}

/// Notes the checksum that is to be completed. It starts behind the IP header, possibly inside an encapsulation
/// and so behind the transport header, and its field lies within the packet. Returns whether that holds.
fn set_checksum(frame: &mut Frame, header: &VirtioHeader) -> bool {
    if header.flags & virtio::NEEDS_CSUM == 0 {
        return true;
    }
    let end = u32::from(header.checksum_start) + u32::from(header.checksum_offset) + 2;
    if header.checksum_start < frame.transport_offset || end > frame.length {
        return false;
    }
    frame.flags |= flags::PARTIAL_CHECKSUM;
    frame.checksum_start = header.checksum_start;
    frame.checksum_offset = header.checksum_offset;
    true
}

/// Counts the segments of a super-packet, whose headers must match its GSO type and whose checksum must be left
/// to us. Returns whether they do. A payload that fits into one segment is one packet.
fn set_segments(frame: &mut Frame, header: &VirtioHeader) -> bool {
    if header.gso_type == virtio::GSO_NONE {
        return true;
    }
    let (version, protocol, checksum_offset) = match header.gso_type {
        kind if kind & !virtio::GSO_ECN == virtio::GSO_TCPV4 => {
            (4, tcp::PROTOCOL, tcp::CHECKSUM_OFFSET)
        }
        kind if kind & !virtio::GSO_ECN == virtio::GSO_TCPV6 => {
            (6, tcp::PROTOCOL, tcp::CHECKSUM_OFFSET)
        }
        virtio::GSO_UDP_L4 => (frame.version, udp::PROTOCOL, udp::CHECKSUM_OFFSET),
        _ => return false,
    };
    let transport_read = frame.header_length > frame.transport_offset;
    if frame.version != version
        || frame.protocol != protocol
        || !transport_read
        || header.gso_size == 0
        || frame.flags & flags::PARTIAL_CHECKSUM == 0
        || frame.checksum_start != frame.transport_offset
        || usize::from(frame.checksum_offset) != checksum_offset
    {
        return false;
    }
    let payload = frame.length - u32::from(frame.header_length);
    let segments = payload.div_ceil(u32::from(header.gso_size));
    if segments > 1 {
        // At most one per byte of a packet whose length has 16 bits.
        frame.segments = segments as u16;
        frame.segment_size = header.gso_size;
    }
    true
}

#[cfg(test)]
mod tests;
