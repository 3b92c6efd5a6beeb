use super::*;
use crate::packet::{
    build::{Build, checksums_are_right},
    parse,
};

/// The segments of `build` as a super-packet with segments of `size`.
fn split(build: &Build, size: u16) -> Vec<Vec<u8>> {
    let bytes = build.clone().with(|p| p.partial = true).bytes();
    let mut frame = parse(&bytes, 0).unwrap();
    let payload = frame.length - u32::from(frame.header_length);
    frame.segments = payload.div_ceil(size.into()) as u16;
    frame.segment_size = size;
    frame.flags |= flags::PARTIAL_CHECKSUM;
    all(&frame, &bytes)
}

/// The packets that the sender would have sent without offload.
fn expected(build: &Build, size: usize) -> Vec<Vec<u8>> {
    let last = build.payload.len().div_ceil(size) - 1;
    let mut part = build.clone();
    build
        .payload
        .chunks(size)
        .enumerate()
        .map(|(i, payload)| {
            part.payload = payload.to_vec();
            part.tcp_flags = build.tcp_flags;
            if i != last {
                part.tcp_flags &= !(tcp::FIN | tcp::PSH);
            }
            if i != 0 {
                part.tcp_flags &= !tcp::CWR;
            }
            let bytes = part.bytes();
            part = part.next();
            bytes
        })
        .collect()
}

#[test]
fn segments_equal_those_of_a_sender_without_offload() {
    for build in [Build::tcp4(), Build::tcp6(), Build::udp4(), Build::udp6()] {
        for (payload, size) in [(3000, 1000), (3001, 1000), (2999, 1000), (20, 1), (65_000, 1448)] {
            let build = build.clone().payload(payload);
            let segments = split(&build, size);
            assert_eq!(segments, expected(&build, size.into()));
            assert!(segments.iter().all(|segment| checksums_are_right(segment)));
        }
    }
}

#[test]
fn options_and_the_ds_byte_are_in_every_segment() {
    for build in [Build::tcp4(), Build::tcp6()] {
        let build = build.payload(500).with(|p| {
            p.tcp_options = vec![1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8];
            p.ds = 0xB9;
        });
        assert_eq!(split(&build, 100), expected(&build, 100));
    }
    let build = Build::udp4().payload(500).with(|p| p.ip_options = vec![1; 8]);
    assert_eq!(split(&build, 100), expected(&build, 100));
}

#[test]
fn fin_and_psh_are_on_the_last_segment_cwr_on_the_first() {
    let all = tcp::ACK | tcp::PSH | tcp::FIN | tcp::CWR | tcp::ECE;
    let segments = split(&Build::tcp4().flags(all).payload(300), 100);
    let flags: Vec<u8> = segments.iter().map(|segment| segment[20 + 13]).collect();
    let common = tcp::ACK | tcp::ECE;
    assert_eq!(flags, [common | tcp::CWR, common, common | tcp::PSH | tcp::FIN]);
    assert!(segments.iter().all(|segment| checksums_are_right(segment)));
}

#[test]
fn identification_and_sequence_number_wrap() {
    let build = Build::tcp4().payload(500).with(|p| {
        p.identification = 0xFFFE;
        p.sequence = u32::MAX - 150;
    });
    assert_eq!(split(&build, 100), expected(&build, 100));
}

#[test]
fn a_udp_checksum_of_zero_is_sent_as_ffff() {
    // The last two bytes of payload are chosen so that the sum comes to 0xFFFF.
    for build in [Build::udp4(), Build::udp6()] {
        let probe = build.clone().with(|p| p.payload = vec![1; 10]);
        let field = if build.version == 4 { 26 } else { 46 };
        let checksum =
            u16_at(&split(&probe.clone().with(|p| p.payload.extend([0; 2])), 12)[0], field);
        let aimed = probe.with(|p| p.payload.extend(checksum.to_be_bytes()));
        let doubled =
            aimed.clone().with(|p| p.payload = [p.payload.clone(), p.payload.clone()].concat());
        assert_eq!(u16_at(&split(&aimed, 12)[0], field), 0xFFFF);
        for segment in split(&doubled, 12) {
            assert_eq!(u16_at(&segment, field), 0xFFFF);
            assert!(checksums_are_right(&segment));
        }
    }
}

#[test]
fn a_frame_without_its_first_segment_keeps_the_others() {
    for build in [Build::tcp4(), Build::tcp6(), Build::udp4(), Build::udp6()] {
        let flags = tcp::ACK | tcp::PSH | tcp::FIN | tcp::CWR;
        let build = build.flags(flags).payload(550).with(|p| {
            p.partial = true;
            p.identification = 0xFFFF;
            p.sequence = u32::MAX - 50;
        });
        let mut buffer = [vec![0xEE; 7], build.bytes()].concat();
        let mut frame = parse(&buffer[7..], 7).unwrap();
        (frame.segments, frame.segment_size) = (6, 100);
        frame.flags |= flags::PARTIAL_CHECKSUM;
        let field = if frame.protocol == tcp::PROTOCOL { tcp::CHECKSUM_OFFSET } else { 6 };
        (frame.checksum_start, frame.checksum_offset) = (frame.transport_offset, field as u16);
        let mut rest = expected(&build.clone().with(|p| p.partial = false), 100);
        while frame.segments >= 3 {
            rest.remove(0);
            assert!(drop_first(&mut frame, &mut buffer));
            let bytes = frame.bytes(&buffer);
            assert_eq!(all(&frame, bytes), rest);
            // A stage or a capture sees what the kernel would have sent.
            let parsed = parse(bytes, frame.offset).unwrap();
            let left = Frame { segments: 1, segment_size: 0, flags: 0, checksum_start: 0, ..frame };
            assert_eq!(Frame { flags: 0, checksum_start: 0, ..parsed }, left);
            if frame.version == 4 {
                assert_eq!(sum(&bytes[..ip::V4_HEADER_LENGTH]).checksum(), 0);
            }
            let length = bytes.len() - usize::from(frame.transport_offset);
            let pseudo = pseudo_header(ip::addresses(bytes, frame.version), frame.protocol, length);
            let partial = u16_at(bytes, usize::from(frame.transport_offset) + field);
            assert_eq!(partial, pseudo.fold());
        }
        let before = (frame, buffer.clone());
        assert!(!drop_first(&mut frame, &mut buffer), "two segments");
        assert_eq!((frame, buffer), before);
    }
}

#[test]
fn the_checksum_of_a_single_packet_is_completed() {
    for build in [Build::tcp4(), Build::tcp6(), Build::udp4(), Build::udp6()] {
        let build = build.payload(333);
        assert_eq!(split(&build, 333), [build.bytes()]);
    }
}

#[test]
fn a_complete_packet_is_copied_unchanged() {
    let mut bytes = Build::tcp4().payload(50).bytes();
    bytes[36] ^= 1;
    let frame = parse(&bytes, 0).unwrap();
    let mut slot = vec![0; bytes.len()];
    Segments::new(&frame, &bytes).write(0, &bytes, &mut slot);
    assert_eq!(slot, bytes);
}

#[test]
fn checksums_are_right_behind_extension_headers() {
    let build = Build::tcp6()
        .with(|p| p.extensions = vec![(60, vec![0, 0, 1, 4, 0, 0, 0, 0])])
        .payload(250);
    assert_eq!(split(&build, 100), expected(&build, 100));
}
