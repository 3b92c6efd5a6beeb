use super::*;
use crate::{
    packet::{
        self,
        build::{Build, naive_checksum},
    },
    time::{MILLISECOND_NS, SECOND_NS},
};

/// The error that is made for a packet.
fn error_for(bytes: &[u8], error: IcmpError) -> Option<Box<[u8]>> {
    let mut icmp_errors = IcmpErrors::default();
    icmp_errors.push(&packet::parse(bytes, 0).unwrap(), bytes, error, SECOND_NS);
    icmp_errors.pending().pop()
}

fn checksum_is_right(packet: &[u8]) -> bool {
    match packet[0] >> 4 {
        4 => naive_checksum(&packet[..20]) == 0 && naive_checksum(&packet[20..]) == 0,
        _ => {
            let mut covered = packet[8..40].to_vec();
            covered.extend_from_slice(&((packet.len() - 40) as u32).to_be_bytes());
            covered.extend_from_slice(&[0, 0, 0, ICMP_V6]);
            covered.extend_from_slice(&packet[40..]);
            naive_checksum(&covered) == 0
        }
    }
}

#[test]
fn an_error_comes_from_the_address_that_was_unreachable() {
    let sent = Build::udp4().payload(100).bytes();
    let answer = error_for(&sent, IcmpError::HostUnreachable).unwrap();
    assert!(checksum_is_right(&answer));
    let frame = packet::parse(&answer, 0).unwrap();
    assert_eq!((frame.source_ip(), frame.destination_ip()), (ip4(2), ip4(1)));
    assert_eq!((frame.protocol, frame.length as usize), (ICMP, answer.len()));
    assert_eq!(answer[20..28], [3, 1, answer[22], answer[23], 0, 0, 0, 0]);
    assert_eq!(answer[28..], sent[..]);
}

#[test]
fn an_ipv6_error_is_address_unreachable() {
    let sent = Build::tcp6().payload(100).bytes();
    let answer = error_for(&sent, IcmpError::HostUnreachable).unwrap();
    assert!(checksum_is_right(&answer));
    assert_eq!(answer[40..42], [1, 3]);
    assert_eq!((&answer[8..24], &answer[24..40]), (&sent[24..40], &sent[8..24]));
    assert_eq!(answer[48..], sent[..]);
}

#[test]
fn too_big_reports_the_mtu() {
    let answer = error_for(&Build::tcp4().payload(1380).bytes(), IcmpError::TooBig { mtu: 1280 });
    let answer = answer.unwrap();
    assert!(checksum_is_right(&answer));
    assert_eq!((&answer[20..22], &answer[26..28]), (&[3, 4][..], &1280u16.to_be_bytes()[..]));
    assert_eq!(answer.len(), 576, "no longer than RFC 1812 allows");
    let answer = error_for(&Build::udp6().payload(1372).bytes(), IcmpError::TooBig { mtu: 1300 });
    let answer = answer.unwrap();
    assert!(checksum_is_right(&answer));
    assert_eq!((&answer[40..42], &answer[44..48]), (&[2, 0][..], &1300u32.to_be_bytes()[..]));
    assert_eq!(answer.len(), 1280, "no longer than RFC 4443 allows");
}

#[test]
fn a_super_packet_is_quoted_as_its_first_segment() {
    let build = Build::tcp4().payload(5000).with(|b| b.partial = true);
    let bytes = build.bytes();
    let mut frame = packet::parse(&bytes, 0).unwrap();
    (frame.segments, frame.segment_size) = (4, 1380);
    frame.flags |= flags::PARTIAL_CHECKSUM;
    let mut icmp_errors = IcmpErrors::default();
    icmp_errors.push(&frame, &bytes, IcmpError::TooBig { mtu: 1280 }, SECOND_NS);
    let answer = icmp_errors.pending().pop().unwrap();
    let quoted = &answer[28..];
    assert_eq!(usize::from(u16::from_be_bytes([quoted[2], quoted[3]])), 20 + 20 + 1380);
    assert_eq!(naive_checksum(&quoted[..20]), 0);
    assert_eq!(quoted[24..28], 1_000_000u32.to_be_bytes(), "the sequence number");
}

#[test]
fn packets_that_must_not_be_answered_get_no_error() {
    let with = |change: fn(&mut Vec<u8>)| {
        let mut bytes = Build::udp4().payload(64).bytes();
        change(&mut bytes);
        bytes
    };
    let v6 = |change: fn(&mut Vec<u8>)| {
        let mut bytes = Build::udp6().payload(64).bytes();
        change(&mut bytes);
        bytes
    };
    for (name, bytes) in [
        ("from no address", with(|b| b[12..16].fill(0))),
        ("from loopback", with(|b| b[12] = 127)),
        ("from multicast", with(|b| b[12] = 224)),
        ("to multicast", with(|b| b[16] = 239)),
        ("to broadcast", with(|b| b[16..20].fill(255))),
        ("a later fragment", with(|b| b[7] = 9)),
        ("from no address, IPv6", v6(|b| b[8..24].fill(0))),
        ("to multicast, IPv6", v6(|b| b[24] = 0xFF)),
        ("an ICMP error", icmp(4, 3)),
        ("an ICMP redirect", icmp(4, 5)),
        ("an ICMPv6 error", icmp(6, 2)),
    ] {
        assert_eq!(error_for(&bytes, IcmpError::HostUnreachable), None, "{name}");
    }
    for (name, bytes) in [
        ("a first fragment", with(|b| b[6] = 0x20)),
        ("an echo request", icmp(4, 8)),
        ("an ICMPv6 echo request", icmp(6, 128)),
    ] {
        assert!(error_for(&bytes, IcmpError::HostUnreachable).is_some(), "{name}");
    }
}

#[test]
fn each_kind_of_error_has_a_rate_limit_of_its_own() {
    let mut icmp_errors = IcmpErrors::default();
    let bytes = Build::tcp4().payload(1380).bytes();
    let frame = packet::parse(&bytes, 0).unwrap();
    let mut errors = |error, at_ms: u64| {
        icmp_errors.push(&frame, &bytes, error, SECOND_NS + at_ms * MILLISECOND_NS);
        icmp_errors.pending().drain(..).count()
    };
    let flood: usize = (0..1000).map(|_| errors(IcmpError::HostUnreachable, 0)).sum();
    assert_eq!(flood, 5);
    assert_eq!(errors(IcmpError::TooBig { mtu: 1280 }, 0), 1);
    let later: usize = (1..=1000).map(|ms| errors(IcmpError::HostUnreachable, ms)).sum();
    assert_eq!(later, 20);
}

#[test]
fn too_big_needs_df_and_an_mtu_that_a_sender_accepts() {
    let too_big = |build: Build, mtu| {
        let bytes = build.payload(1380).bytes();
        must_report_too_big(&packet::parse(&bytes, 0).unwrap(), &bytes, mtu)
    };
    assert!(too_big(Build::tcp4(), 1280));
    assert!(!too_big(Build::tcp4().with(|b| b.fragment = 0), 1280));
    assert!(!too_big(Build::tcp4(), 575));
    assert!(too_big(Build::tcp6(), 1280));
    assert!(!too_big(Build::tcp6(), 1279));
}

fn icmp(version: u8, kind: u8) -> Vec<u8> {
    let protocol = if version == 4 { ICMP } else { ICMP_V6 };
    let mut build = Build::new(version, protocol).payload(64);
    build.payload[0] = kind;
    build.bytes()
}

fn ip4(host: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, host])
}
