use proptest::prelude::*;

use super::*;
use crate::packet::{
    build::{Build, checksums_are_right},
    split::all,
    virtio::{GSO_ECN, GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CSUM},
};

/// A packet and the virtio-net header that a kernel would write before it.
fn read(build: &Build, gso_type: u8, gso_size: u16) -> (VirtioHeader, Vec<u8>) {
    let bytes = build.clone().with(|p| p.partial = true).bytes();
    let checksum_start = if build.version == 4 { 20 } else { 40 };
    let checksum_offset = if build.protocol == tcp::PROTOCOL { 16 } else { 6 };
    let header = VirtioHeader {
        flags: NEEDS_CSUM,
        gso_type,
        header_length: 0,
        gso_size,
        checksum_start,
        checksum_offset,
    };
    (header, bytes)
}

fn accepted(header: VirtioHeader, packet: &[u8]) -> Result<Frame, OutboundDrop> {
    let mut buffer = vec![0xEE; 3];
    buffer.extend_from_slice(&header.write());
    buffer.extend_from_slice(packet);
    let mut batch = FrameBatch::default();
    let read = buffer.len() - 3;
    let result = accept(&mut batch, &buffer, 3, read);
    assert_eq!(batch.frames.len(), usize::from(result.is_ok()));
    result.map(|()| batch.frames[0])
}

fn segments(frame: &Frame, packet: &[u8]) -> Vec<Vec<u8>> {
    all(frame, &packet[..frame.length as usize])
}

#[test]
fn a_super_packet_is_one_frame_of_many_segments() {
    for (build, gso_type, header_length) in [
        (Build::tcp4(), GSO_TCPV4, 40),
        (Build::tcp4(), GSO_TCPV4 | GSO_ECN, 40),
        (Build::tcp6(), GSO_TCPV6, 60),
        (Build::udp4(), GSO_UDP_L4, 28),
        (Build::udp6(), GSO_UDP_L4, 48),
    ] {
        let (header, packet) = read(&build.payload(2500), gso_type, 1000);
        let frame = accepted(header, &packet).unwrap();
        assert_eq!((frame.segments, frame.segment_size), (3, 1000));
        assert_eq!((frame.offset, frame.header_length), (13, header_length));
        assert_eq!(frame.flags, flags::PARTIAL_CHECKSUM);
    }
}

#[test]
fn a_payload_of_one_segment_is_one_packet() {
    for (payload, count) in [(0, 1), (999, 1), (1000, 1), (1001, 2), (2000, 2)] {
        let (header, packet) = read(&Build::tcp4().payload(payload), GSO_TCPV4, 1000);
        let frame = accepted(header, &packet).unwrap();
        assert_eq!(frame.segments, count);
        assert_eq!(frame.segment_size, if count == 1 { 0 } else { 1000 });
        assert!(segments(&frame, &packet).iter().all(|segment| checksums_are_right(segment)));
    }
}

#[test]
fn the_largest_super_packet_of_the_smallest_segments_is_counted() {
    let (header, packet) = read(&Build::tcp4().payload(65_495), GSO_TCPV4, 1);
    assert_eq!(packet.len(), 65_535);
    assert_eq!(accepted(header, &packet).unwrap().segments, 65_495);
}

#[test]
fn a_plain_packet_keeps_its_checksum() {
    let packet = Build::tcp4().payload(10).bytes();
    let frame = accepted(VirtioHeader::default(), &packet).unwrap();
    assert_eq!((frame.flags, frame.segments), (0, 1));
    assert_eq!(segments(&frame, &packet), [packet]);
}

#[test]
fn a_checksum_inside_an_encapsulation_is_accepted() {
    // VXLAN: outer UDP without a checksum, 8 B of VXLAN, 14 B of Ethernet, the inner packet.
    let inner = Build::tcp4().payload(30).with(|p| p.partial = true).bytes();
    let complete = Build::tcp4().payload(30).bytes();
    let mut outer =
        Build::udp4().with(|p| p.payload = [vec![8; 22], inner.clone()].concat()).bytes();
    outer[26..28].fill(0);
    let header = VirtioHeader {
        flags: NEEDS_CSUM,
        checksum_start: 28 + 22 + 20,
        checksum_offset: 16,
        ..VirtioHeader::default()
    };
    let frame = accepted(header, &outer).unwrap();
    assert_eq!((frame.checksum_start, frame.checksum_offset), (70, 16));
    assert_eq!(segments(&frame, &outer)[0][50..], complete);
}

#[test]
fn a_header_that_contradicts_its_packet_is_dropped() {
    let (good, tcp4) = read(&Build::tcp4().payload(2500), GSO_TCPV4, 1000);
    let (_, tcp6) = read(&Build::tcp6().payload(2500), GSO_TCPV6, 1000);
    let (_, udp4) = read(&Build::udp4().payload(2500), GSO_UDP_L4, 1000);
    let mut short_header = tcp4.clone();
    short_header[32] = 0x40;
    let mut fragment = tcp4.clone();
    fragment[6] |= 0x20;
    for (name, header, packet) in [
        ("no size", VirtioHeader { gso_size: 0, ..good }, &tcp4),
        ("unknown type", VirtioHeader { gso_type: 0x7F, ..good }, &tcp4),
        ("UFO", VirtioHeader { gso_type: 3, ..good }, &tcp4),
        ("ECN without a type", VirtioHeader { gso_type: GSO_ECN, ..good }, &tcp4),
        ("ECN with UDP", VirtioHeader { gso_type: GSO_UDP_L4 | GSO_ECN, ..good }, &udp4),
        ("no checksum to complete", VirtioHeader { flags: 0, ..good }, &tcp4),
        ("start behind the end", VirtioHeader { checksum_start: 2600, ..good }, &tcp4),
        ("field behind the end", VirtioHeader { checksum_offset: 2519, ..good }, &tcp4),
        ("start in the IP header", VirtioHeader { checksum_start: 19, ..good }, &tcp4),
        ("start not at TCP", VirtioHeader { checksum_start: 24, ..good }, &tcp4),
        ("field not TCP's", VirtioHeader { checksum_offset: 6, ..good }, &tcp4),
        ("TCPV4 on IPv6", VirtioHeader { checksum_start: 40, ..good }, &tcp6),
        ("TCPV4 on UDP", good, &udp4),
        ("TCP header too short", good, &short_header),
        ("fragment", good, &fragment),
    ] {
        assert_eq!(accepted(header, packet), Err(OutboundDrop::VirtioHeader), "{name}");
    }
}

#[test]
fn the_header_length_is_ignored() {
    let (header, packet) = read(&Build::tcp4().payload(2500), GSO_TCPV4, 1000);
    let expected = accepted(header, &packet);
    for header_length in [0, 1, 9999] {
        assert_eq!(accepted(VirtioHeader { header_length, ..header }, &packet), expected);
    }
}

#[test]
fn a_checksum_field_may_be_the_last_two_bytes() {
    let packet = Build::new(4, 253).payload(40).bytes();
    let header = VirtioHeader {
        flags: NEEDS_CSUM,
        checksum_start: 20,
        checksum_offset: 38,
        ..VirtioHeader::default()
    };
    assert!(accepted(header, &packet).is_ok());
    let beyond = VirtioHeader { checksum_offset: 39, ..header };
    assert_eq!(accepted(beyond, &packet), Err(OutboundDrop::VirtioHeader));
}

#[test]
fn bytes_that_are_no_packet_are_dropped() {
    assert_eq!(accepted(VirtioHeader::default(), &[]), Err(OutboundDrop::InvalidPacket));
    assert_eq!(accepted(VirtioHeader::default(), &[0; 60]), Err(OutboundDrop::InvalidPacket));
    let mut batch = FrameBatch::default();
    assert_eq!(accept(&mut batch, &[0; 9], 0, 9), Err(OutboundDrop::VirtioHeader));
    assert_eq!(accept(&mut batch, &[0; 9], 0, 40), Err(OutboundDrop::VirtioHeader));
}

proptest! {
    #[test]
    fn arbitrary_reads_split_within_their_bytes(
        header in any::<[u8; 10]>(),
        build in prop::sample::select(vec![
            Build::tcp4(), Build::tcp6(), Build::udp4(), Build::udp6(), Build::new(4, 253),
        ]),
        payload in 0usize..5000,
        at in 0usize..60,
        value: u8,
    ) {
        let mut packet = build.payload(payload).bytes();
        let at = at.min(packet.len() - 1);
        packet[at] = value;
        let header = VirtioHeader::read(&header).unwrap();
        if let Ok(frame) = accepted(header, &packet) {
            segments(&frame, &packet);
        }
    }

    #[test]
    fn an_accepted_header_keeps_the_payload(
        kind in 0usize..4,
        payload in 0usize..4000,
        gso_type in prop::sample::select(vec![GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, 0x7F]),
        gso_size in prop::sample::select(vec![0u16, 1, 7, 100, 536, 1448, 4000, 65_535]),
        checksum_start in prop::sample::select(vec![0u16, 20, 40, 9999]),
        checksum_offset in prop::sample::select(vec![6u16, 16, 5000]),
        header_length in prop::sample::select(vec![0u16, 54, 9999]),
        needs_checksum: bool,
    ) {
        let build =
            [Build::tcp4(), Build::tcp6(), Build::udp4(), Build::udp6()][kind].clone().payload(payload);
        let packet = build.clone().with(|p| p.partial = needs_checksum).bytes();
        let flags = if needs_checksum { NEEDS_CSUM } else { 0 };
        let header = VirtioHeader {
            flags, gso_type, header_length, gso_size, checksum_start, checksum_offset,
        };
        if let Ok(frame) = accepted(header, &packet) {
            let parts = segments(&frame, &packet);
            let start = usize::from(frame.header_length);
            let joined: Vec<u8> = parts.iter().flat_map(|part| part[start..].to_vec()).collect();
            let (right, own) = if build.version == 4 { (20, 16) } else { (40, 16) };
            let own = if build.protocol == udp::PROTOCOL { 6 } else { own };
            // A checksum elsewhere is completed where the header has it.
            if !needs_checksum || (checksum_start, checksum_offset) == (right, own) {
                prop_assert_eq!(&joined, &build.payload);
                prop_assert!(parts.iter().all(|part| checksums_are_right(part)));
            } else {
                prop_assert_eq!(joined.len(), payload);
            }
        }
    }
}
