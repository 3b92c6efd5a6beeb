use proptest::prelude::*;

use super::{
    Invalid,
    build::{Build, checksums_are_right},
    ip::{CE, ECT_0, ECT_1, EcnMerge, NOT_ECT, merge_ecn, set_ecn},
    parse, tcp, udp,
};
use crate::frame::{Frame, flags};

fn frame(build: &Build) -> Frame {
    parse(&build.bytes(), 0).unwrap()
}

#[test]
fn tcp_over_ipv4_sets_every_field() {
    let bytes = Build::tcp4()
        .with(|p| {
            p.ds = 0xB9;
            p.tcp_options = vec![1; 12];
        })
        .flags(tcp::ACK | tcp::PSH)
        .payload(100)
        .bytes();
    let frame = parse(&bytes, 512).unwrap();
    assert_eq!(frame.source_ip().to_string(), "10.0.0.1");
    assert_eq!(frame.destination_ip().to_string(), "10.0.0.2");
    assert_eq!((frame.offset, frame.length), (512, 152));
    assert_eq!((frame.segments, frame.segment_size, frame.slices), (1, 0, 0));
    assert_eq!((frame.version, frame.protocol, frame.ds), (4, tcp::PROTOCOL, 0xB9));
    assert_eq!((frame.source_port, frame.destination_port), (40_000, 443));
    assert_eq!((frame.transport_offset, frame.header_length), (20, 52));
    assert_eq!((frame.checksum_start, frame.checksum_offset), (20, 16));
    assert_eq!((frame.tcp_flags, frame.flags), (tcp::ACK | tcp::PSH, 0));
}

#[test]
fn udp_over_ipv6_sets_every_field() {
    let frame = frame(&Build::udp6().with(|p| p.ds = 0x2E << 2 | ECT_1).payload(33));
    assert_eq!(frame.source_ip().to_string(), "fd00::1");
    assert_eq!(frame.destination_ip().to_string(), "fd00::2");
    assert_eq!((frame.version, frame.protocol, frame.ds), (6, udp::PROTOCOL, 0xB9));
    assert_eq!((frame.transport_offset, frame.header_length, frame.length), (40, 48, 81));
    assert_eq!((frame.checksum_start, frame.checksum_offset, frame.flags), (40, 6, 0));
}

#[test]
fn bytes_behind_the_packet_are_padding() {
    for build in [Build::udp4().payload(5), Build::udp6().payload(5)] {
        let mut bytes = build.bytes();
        let length = bytes.len() as u32;
        bytes.extend_from_slice(&[0; 11]);
        assert_eq!(parse(&bytes, 0).unwrap().length, length);
    }
}

#[test]
fn inconsistent_headers_are_invalid() {
    let v4 = Build::tcp4().bytes();
    let v6 = Build::tcp6().bytes();
    assert_eq!(parse(&[], 0), Err(Invalid::Version));
    assert_eq!(parse(&[0x50; 60], 0), Err(Invalid::Version));
    assert_eq!(parse(&v4[..19], 0), Err(Invalid::Header));
    assert_eq!(parse(&v6[..39], 0), Err(Invalid::Header));
    assert_eq!(parse(&v4[..39], 0), Err(Invalid::Length));
    assert_eq!(parse(&v6[..59], 0), Err(Invalid::Length));
    let mut short_header = v4.clone();
    short_header[0] = 0x44;
    assert_eq!(parse(&short_header, 0), Err(Invalid::Header));
    let mut short_length = v4;
    short_length[3] = 19;
    assert_eq!(parse(&short_length, 0), Err(Invalid::Length));
}

#[test]
fn a_fragment_has_no_flow() {
    for fragment in [0x2000, 0x0001, 0x2001] {
        let frame = frame(&Build::udp4().with(|p| p.fragment = fragment).payload(64));
        assert_eq!(frame.flags, flags::NO_FLOW);
        assert_eq!((frame.source_port, frame.header_length), (0, 20));
    }
    let header = (44, vec![0, 0, 0, 1, 0, 0, 0, 9]);
    let frame = frame(&Build::udp6().with(|p| p.extensions = vec![header]).payload(64));
    assert_eq!((frame.flags, frame.protocol), (flags::NO_FLOW, udp::PROTOCOL));
    assert_eq!((frame.source_port, frame.header_length), (0, 48));
}

#[test]
fn extension_headers_are_walked_to_the_transport_header() {
    let hop_by_hop = (0, vec![0, 0, 1, 4, 0, 0, 0, 0]);
    let authentication = (51, [vec![0, 1], vec![0; 10]].concat());
    let destination = (60, [vec![0, 1], vec![0; 14]].concat());
    let extensions = vec![hop_by_hop, authentication, destination];
    let frame = frame(&Build::tcp6().with(|p| p.extensions = extensions).payload(10));
    assert_eq!((frame.flags, frame.protocol), (flags::NO_FLOW, tcp::PROTOCOL));
    assert_eq!((frame.transport_offset, frame.header_length), (76, 96));
    assert_eq!(frame.destination_port, 443);
}

#[test]
fn a_truncated_extension_header_leaves_the_addresses() {
    let cut = (60, vec![0, 200, 0, 0, 0, 0, 0, 0]);
    let frame = frame(&Build::tcp6().with(|p| p.extensions = vec![cut]));
    assert_eq!((frame.flags, frame.protocol), (flags::NO_FLOW, 60));
    assert_eq!((frame.transport_offset, frame.source_port), (40, 0));
}

#[test]
fn ip_options_are_flagged() {
    let frame = frame(&Build::tcp4().with(|p| p.ip_options = vec![1; 4]).payload(1));
    assert_eq!((frame.flags, frame.transport_offset), (flags::IP_OPTIONS, 24));
    assert_eq!(frame.source_port, 40_000);
}

#[test]
fn an_invalid_transport_header_leaves_the_addresses() {
    let tcp = Build::tcp4().payload(4).bytes();
    let udp = Build::udp4().payload(4).bytes();
    let mut cases = vec![tcp.clone(), tcp.clone(), udp.clone(), udp];
    cases[0][32] = 0x40;
    cases[1][32] = 0x70;
    cases[2][25] = 7;
    cases[3][25] = 13;
    for bytes in cases {
        let frame = parse(&bytes, 0).unwrap();
        assert_eq!((frame.flags, frame.source_port, frame.header_length), (flags::NO_FLOW, 0, 20));
    }
}

#[test]
fn protocols_without_ports_are_valid() {
    for protocol in [1, 47, 50, 132, 253] {
        let frame = frame(&Build::new(4, protocol).payload(40));
        assert_eq!(
            (frame.protocol, frame.flags, frame.source_port, frame.length),
            (protocol, 0, 0, 60)
        );
    }
}

#[test]
fn ecn_merges_by_rfc_6040_figure_4() {
    let names = [NOT_ECT, ECT_0, ECT_1, CE];
    // Rows are the inner field, columns the outer, in the order of the figure.
    let table = [
        [Some(NOT_ECT), Some(NOT_ECT), Some(NOT_ECT), None],
        [Some(ECT_0), Some(ECT_0), Some(ECT_1), Some(CE)],
        [Some(ECT_1), Some(ECT_1), Some(ECT_1), Some(CE)],
        [Some(CE), Some(CE), Some(CE), Some(CE)],
    ];
    for (inner, row) in names.into_iter().zip(table) {
        for (outer, expected) in names.into_iter().zip(row) {
            let merged = match merge_ecn(outer, inner) {
                EcnMerge::Keep => Some(inner),
                EcnMerge::Set(ecn) => Some(ecn),
                EcnMerge::Drop => None,
            };
            assert_eq!(merged, expected, "outer {outer:02b}, inner {inner:02b}");
        }
    }
}

#[test]
fn setting_ecn_keeps_dscp_and_checksums() {
    for build in [Build::tcp4(), Build::tcp6()] {
        for from in [NOT_ECT, ECT_0, ECT_1, CE] {
            for to in [NOT_ECT, ECT_0, ECT_1, CE] {
                let mut bytes = build.clone().with(|p| p.ds = 0x2E << 2 | from).bytes();
                set_ecn(&mut bytes, to);
                assert_eq!(parse(&bytes, 0).unwrap().ds, 0x2E << 2 | to);
                assert!(checksums_are_right(&bytes));
                assert_eq!(bytes, build.clone().with(|p| p.ds = 0x2E << 2 | to).bytes());
            }
        }
    }
}

fn is_within(frame: &Frame, bytes: &[u8]) -> bool {
    frame.length as usize <= bytes.len()
        && frame.transport_offset <= frame.header_length
        && u32::from(frame.header_length) <= frame.length
        && frame.segments == 1
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        version in prop::sample::select(vec![0x45u8, 0x46, 0x4F, 0x60, 0x00]),
        mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        if let Some(first) = bytes.first_mut() {
            *first = version;
        }
        if let Ok(frame) = parse(&bytes, 0) {
            prop_assert!(is_within(&frame, &bytes));
        }
    }

    #[test]
    fn a_damaged_packet_never_panics(
        v6: bool,
        at in 0usize..80,
        value: u8,
        cut in 0usize..120,
        next in prop::sample::select(vec![0u8, 6, 17, 43, 44, 51, 60, 135]),
    ) {
        let mut bytes = if v6 { Build::tcp6() } else { Build::tcp4() }.payload(60).bytes();
        if v6 {
            bytes[6] = next;
        }
        bytes[at] = value;
        let cut = cut.min(bytes.len());
        for bytes in [&bytes[..], &bytes[..cut]] {
            if let Ok(frame) = parse(bytes, 0) {
                prop_assert!(is_within(&frame, bytes));
            }
        }
    }
}
