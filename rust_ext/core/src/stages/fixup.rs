//! fixup: turns an IP packet or super-packet that a stage wrote into a frame with correct lengths and
//! checksums.
//!
//! Writes the length fields, the IPv4 header checksum and the ICMP checksum. TCP and UDP checksums are left
//! partial, to be completed on egress (the kernel's CHECKSUM_PARTIAL). Fragments and packets with IPv6
//! extension headers keep the checksum that they came with.

use crate::{
    frame::{Frame, flags},
    packet::{
        self,
        checksum::{pseudo_header, sum},
        ip, set_u16, tcp, udp,
    },
};

const ICMP: u8 = 1;
const ICMP6: u8 = 58;
/// Offset of the checksum in ICMP and ICMPv6 (RFC 792, RFC 4443 §2.1).
const ICMP_CHECKSUM_OFFSET: usize = 2;

/// Why bytes are not a packet that can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketError {
    /// Neither IPv4 nor IPv6, or the header is truncated.
    NotIp,
    /// Longer than an IP packet can be.
    TooLong,
}

impl PacketError {
    /// Returns the error message.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NotIp => "not an IPv4 or IPv6 packet",
            Self::TooLong => "longer than an IP packet can be (65,535 B)",
        }
    }
}

/// How a packet is segmented.
#[derive(Clone, Copy, Debug)]
pub struct Segmentation {
    /// Segment size of the frame that the packet replaces; 0 if that was a single packet.
    pub segment_size: u16,
    /// The TUN's MTU; a longer TCP packet is segmented to fit.
    pub mtu: usize,
}

/// Corrects a packet in place and returns its frame, with offset 0.
///
/// # Errors
/// If the bytes are not an IP packet.
pub fn fixup(bytes: &mut [u8], segmentation: Segmentation) -> Result<Frame, PacketError> {
    if bytes.len() > ip::MAX_LENGTH {
        return Err(PacketError::TooLong);
    }
    fix_length(bytes)?;
    let parsed = packet::parse(bytes, 0).map_err(|_| PacketError::NotIp)?;
    let start = usize::from(parsed.transport_offset);
    if parsed.flags & flags::NO_FLOW == 0 {
        return Ok(fix_transport(parsed, bytes, segmentation));
    }
    // A wrong length in a UDP header hides its flow; correct it if nothing else does.
    let is_udp = parsed.protocol == udp::PROTOCOL
        && !ip::is_fragment(bytes)
        && start + udp::HEADER_LENGTH <= bytes.len()
        && (parsed.version == 4 || start == ip::V6_HEADER_LENGTH);
    if !is_udp {
        return Ok(parsed);
    }
    let length = (bytes.len() - start) as u16;
    set_u16(&mut bytes[start..], udp::LENGTH_OFFSET, length);
    let parsed = packet::parse(bytes, 0).map_err(|_| PacketError::NotIp)?;
    Ok(fix_transport(parsed, bytes, segmentation))
}

fn fix_length(bytes: &mut [u8]) -> Result<(), PacketError> {
    let version = bytes.first().map_or(0, |first| first >> 4);
    let fits = match version {
        4 => {
            let header_length = usize::from(bytes[0] & 0x0F) * 4;
            header_length >= ip::V4_HEADER_LENGTH && header_length <= bytes.len()
        }
        6 => bytes.len() >= ip::V6_HEADER_LENGTH,
        _ => false,
    };
    if !fits {
        return Err(PacketError::NotIp);
    }
    ip::set_length(bytes, version, bytes.len());
    Ok(())
}

fn fix_transport(mut frame: Frame, bytes: &mut [u8], segmentation: Segmentation) -> Frame {
    let start = usize::from(frame.transport_offset);
    let length = bytes.len() - start;
    let pseudo = pseudo_header(ip::addresses(bytes, frame.version), frame.protocol, length);
    let transport = &mut bytes[start..];
    match frame.protocol {
        tcp::PROTOCOL | udp::PROTOCOL => {
            if frame.protocol == udp::PROTOCOL {
                set_u16(transport, udp::LENGTH_OFFSET, length as u16);
            }
            set_u16(transport, usize::from(frame.checksum_offset), pseudo.fold());
            frame.flags |= flags::PARTIAL_CHECKSUM;
            set_segments(&mut frame, segmentation);
        }
        ICMP | ICMP6 if length >= ICMP_CHECKSUM_OFFSET + 2 => {
            set_u16(transport, ICMP_CHECKSUM_OFFSET, 0);
            let own = sum(transport);
            let all = if frame.protocol == ICMP { own } else { own + pseudo };
            set_u16(transport, ICMP_CHECKSUM_OFFSET, all.checksum());
        }
        _ => {}
    }
    frame
}

/// Keeps the segment size of the replaced frame; segments a single TCP packet that is longer than the MTU.
fn set_segments(frame: &mut Frame, segmentation: Segmentation) {
    let payload = frame.length - u32::from(frame.header_length);
    let size = match (segmentation.segment_size, frame.protocol) {
        (0, tcp::PROTOCOL) if frame.length as usize > segmentation.mtu => {
            segmentation.mtu.saturating_sub(usize::from(frame.header_length)) as u32
        }
        (size, _) => u32::from(size),
    };
    if size != 0 && payload > size {
        frame.segment_size = size as u16;
        frame.segments = payload.div_ceil(size) as u16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{build::Build, split::all};
    use proptest::prelude::*;

    const SINGLE: Segmentation = Segmentation { segment_size: 0, mtu: 1420 };

    /// Returns the segments that are sent for a packet.
    fn sent(mut bytes: Vec<u8>, segmentation: Segmentation) -> Vec<Vec<u8>> {
        let frame = fixup(&mut bytes, segmentation).unwrap();
        all(&frame, &bytes)
    }

    #[test]
    fn lengths_and_checksums_are_corrected() {
        for build in [Build::tcp4(), Build::tcp6(), Build::udp4(), Build::udp6()] {
            let right = build.payload(333).bytes();
            let start = if right[0] >> 4 == 4 { 20 } else { 40 };
            let mut wrong = right.clone();
            wrong[2..4].fill(9);
            if start == 20 {
                wrong[10..12].fill(9);
            } else {
                wrong[2..4].copy_from_slice(&right[2..4]);
                wrong[4..6].fill(9);
            }
            let checksum = if right[if start == 20 { 9 } else { 6 }] == 6 { 16 } else { 6 };
            wrong[start + checksum..start + checksum + 2].fill(9);
            assert_eq!(sent(wrong, SINGLE), [right]);
        }
    }

    #[test]
    fn a_wrong_udp_length_is_corrected() {
        let right = Build::udp4().payload(100).bytes();
        let mut wrong = right.clone();
        wrong[24..26].copy_from_slice(&[0xFF, 0xFF]);
        assert_eq!(sent(wrong, SINGLE), [right]);
    }

    #[test]
    fn tcp_longer_than_the_mtu_is_segmented() {
        let packets = sent(Build::tcp4().payload(3000).bytes(), SINGLE);
        let lengths: Vec<usize> = packets.iter().map(Vec::len).collect();
        assert_eq!(lengths, [1420, 1420, 40 + 3000 - 2 * 1380]);
    }

    #[test]
    fn a_super_packet_keeps_its_segment_size() {
        let segmentation = Segmentation { segment_size: 100, mtu: 1420 };
        for build in [Build::tcp4(), Build::udp6()] {
            assert_eq!(sent(build.payload(250).bytes(), segmentation).len(), 3);
        }
    }

    #[test]
    fn bytes_that_are_not_a_packet_are_rejected() {
        for (bytes, error) in [
            (vec![], PacketError::NotIp),
            (vec![0x45; 19], PacketError::NotIp),
            (vec![0x60; 39], PacketError::NotIp),
            (vec![0x42; 60], PacketError::NotIp),
            (vec![0x50; 60], PacketError::NotIp),
            (vec![0x45; 65_536], PacketError::TooLong),
        ] {
            assert_eq!(fixup(&mut bytes.clone(), SINGLE), Err(error));
        }
    }

    #[test]
    fn a_fragment_keeps_its_checksum() {
        let mut bytes = Build::udp4().payload(64).bytes();
        bytes[6] |= 0x20;
        let before = bytes[26..28].to_vec();
        let frame = fixup(&mut bytes, SINGLE).unwrap();
        assert_eq!((frame.flags, &bytes[26..28]), (flags::NO_FLOW, &before[..]));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_rejected_or_can_be_sent(
            mut bytes in prop::collection::vec(any::<u8>(), 0..400),
            version in prop_oneof![Just(0x45_u8), Just(0x60), any::<u8>()],
            segment_size in 0_u16..300,
        ) {
            if let Some(first) = bytes.first_mut() {
                *first = version;
            }
            if let Ok(frame) = fixup(&mut bytes, Segmentation { segment_size, mtu: 200 }) {
                for segment in all(&frame, &bytes) {
                    prop_assert!(packet::parse(&segment, 0).is_ok());
                }
            }
        }
    }
}
