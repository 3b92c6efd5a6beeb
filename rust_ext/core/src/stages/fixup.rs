//! repair: bytes that a stage gave become a frame whose lengths and checksums are right.
//!
//! In: an IP packet or super-packet, as a stage wrote it. Out: its row; its length fields, IPv4's
//! header checksum and ICMP's checksum written, TCP's and UDP's left to be completed where the
//! packet leaves (as the kernel's CHECKSUM_PARTIAL). Drops: nothing; what is no packet is refused.
//! What cannot be read (fragments, IPv6 extension headers) keeps the checksum it came with.

use crate::{
    frame::{Frame, flags},
    packet::{
        self,
        checksum::{pseudo_header, sum},
        ip, set_word, tcp, udp,
    },
};

const ICMP: u8 = 1;
const ICMP6: u8 = 58;
/// Where ICMP and ICMPv6 have their checksum (RFC 792, RFC 4443 §2.1).
const ICMP_CHECKSUM_OFFSET: usize = 2;

/// Why bytes cannot become a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Neither IPv4 nor IPv6, or the header is cut.
    NoPacket,
    /// Longer than an IP packet can be.
    TooLong,
}

impl Unfit {
    /// In words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NoPacket => "not an IPv4 or IPv6 packet",
            Self::TooLong => "longer than an IP packet can be (65,535 B)",
        }
    }
}

/// How a frame may be cut.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Payload bytes of each segment of the frame that it replaces; 0 where that was one packet.
    pub segment_size: u16,
    /// The TUN's MTU: TCP beyond it is cut to fit.
    pub mtu: usize,
}

/// Repairs a packet in place and reads it; its row's offset is 0.
///
/// # Errors
/// Where it is no packet.
pub fn fixup(bytes: &mut [u8], cut: Cut) -> Result<Frame, Unfit> {
    if bytes.len() > ip::MAX_LENGTH {
        return Err(Unfit::TooLong);
    }
    repair_length(bytes)?;
    let parsed = packet::parse(bytes, 0).map_err(|_| Unfit::NoPacket)?;
    let start = usize::from(parsed.transport_offset);
    if parsed.flags & flags::NO_FLOW == 0 {
        return Ok(repair_transport(parsed, bytes, cut));
    }
    // A UDP header whose length lies is repaired as well, where nothing hides it.
    let plain = parsed.protocol == udp::PROTOCOL
        && !ip::is_fragment(bytes)
        && start + udp::HEADER_LENGTH <= bytes.len()
        && (parsed.version == 4 || start == ip::V6_HEADER_LENGTH);
    if !plain {
        return Ok(parsed);
    }
    let length = (bytes.len() - start) as u16;
    set_word(&mut bytes[start..], udp::LENGTH_OFFSET, length);
    let parsed = packet::parse(bytes, 0).map_err(|_| Unfit::NoPacket)?;
    Ok(repair_transport(parsed, bytes, cut))
}

fn repair_length(bytes: &mut [u8]) -> Result<(), Unfit> {
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
        return Err(Unfit::NoPacket);
    }
    ip::set_length(bytes, version, bytes.len());
    Ok(())
}

fn repair_transport(mut frame: Frame, bytes: &mut [u8], cut: Cut) -> Frame {
    let start = usize::from(frame.transport_offset);
    let length = bytes.len() - start;
    let pseudo = pseudo_header(ip::addresses(bytes, frame.version), frame.protocol, length);
    let transport = &mut bytes[start..];
    match frame.protocol {
        tcp::PROTOCOL | udp::PROTOCOL => {
            if frame.protocol == udp::PROTOCOL {
                set_word(transport, udp::LENGTH_OFFSET, length as u16);
            }
            set_word(transport, usize::from(frame.checksum_offset), pseudo.fold());
            frame.flags |= flags::PARTIAL_CHECKSUM;
            take_segments(&mut frame, cut);
        }
        ICMP | ICMP6 if length >= ICMP_CHECKSUM_OFFSET + 2 => {
            set_word(transport, ICMP_CHECKSUM_OFFSET, 0);
            let own = sum(transport);
            let all = if frame.protocol == ICMP { own } else { own + pseudo };
            set_word(transport, ICMP_CHECKSUM_OFFSET, all.checksum());
        }
        _ => {}
    }
    frame
}

/// A frame of segments stays one; one TCP packet that outgrew the MTU becomes one.
fn take_segments(frame: &mut Frame, cut: Cut) {
    let payload = frame.length - u32::from(frame.header_length);
    let size = match (cut.segment_size, frame.protocol) {
        (0, tcp::PROTOCOL) if frame.length as usize > cut.mtu => {
            cut.mtu.saturating_sub(usize::from(frame.header_length)) as u32
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

    const CUT: Cut = Cut { segment_size: 0, mtu: 1420 };

    /// What leaves for a frame of these bytes: each segment, complete.
    fn leaving(mut bytes: Vec<u8>, cut: Cut) -> Vec<Vec<u8>> {
        let frame = fixup(&mut bytes, cut).unwrap();
        all(&frame, &bytes)
    }

    #[test]
    fn a_changed_packet_leaves_as_if_it_had_been_made_so() {
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
            assert_eq!(leaving(wrong, CUT), [right]);
        }
    }

    #[test]
    fn a_udp_length_that_lies_is_repaired() {
        let right = Build::udp4().payload(100).bytes();
        let mut wrong = right.clone();
        wrong[24..26].copy_from_slice(&[0xFF, 0xFF]);
        assert_eq!(leaving(wrong, CUT), [right]);
    }

    #[test]
    fn tcp_beyond_the_mtu_is_cut_to_fit() {
        let packets = leaving(Build::tcp4().payload(3000).bytes(), CUT);
        let lengths: Vec<usize> = packets.iter().map(Vec::len).collect();
        assert_eq!(lengths, [1420, 1420, 40 + 3000 - 2 * 1380]);
    }

    #[test]
    fn a_super_packet_keeps_its_segment_size() {
        let cut = Cut { segment_size: 100, mtu: 1420 };
        for build in [Build::tcp4(), Build::udp6()] {
            assert_eq!(leaving(build.payload(250).bytes(), cut).len(), 3);
        }
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        for (bytes, unfit) in [
            (vec![], Unfit::NoPacket),
            (vec![0x45; 19], Unfit::NoPacket),
            (vec![0x60; 39], Unfit::NoPacket),
            (vec![0x42; 60], Unfit::NoPacket),
            (vec![0x50; 60], Unfit::NoPacket),
            (vec![0x45; 65_536], Unfit::TooLong),
        ] {
            assert_eq!(fixup(&mut bytes.clone(), CUT), Err(unfit));
        }
    }

    #[test]
    fn a_fragment_keeps_its_checksum() {
        let mut bytes = Build::udp4().payload(64).bytes();
        bytes[6] |= 0x20;
        let before = bytes[26..28].to_vec();
        let frame = fixup(&mut bytes, CUT).unwrap();
        assert_eq!((frame.flags, &bytes[26..28]), (flags::NO_FLOW, &before[..]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_can_be_sent(
            mut bytes in prop::collection::vec(any::<u8>(), 0..400),
            version in prop_oneof![Just(0x45_u8), Just(0x60), any::<u8>()],
            segment_size in 0_u16..300,
        ) {
            if let Some(first) = bytes.first_mut() {
                *first = version;
            }
            if let Ok(frame) = fixup(&mut bytes, Cut { segment_size, mtu: 200 }) {
                for segment in all(&frame, &bytes) {
                    prop_assert!(packet::parse(&segment, 0).is_ok());
                }
            }
        }
    }
}
