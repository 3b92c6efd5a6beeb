use super::*;
use crate::{
    packet::{
        self,
        build::{Build, naive_checksum},
    },
    time::{MILLISECOND_NS, SECOND_NS},
};

fn refused(bytes: &[u8], why: IcmpError) -> Option<Box<[u8]>> {
    let mut icmp_errors = IcmpErrors::default();
    icmp_errors.refuse(&packet::parse(bytes, 0).unwrap(), bytes, why, SECOND_NS);
    icmp_errors.made().pop()
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
fn a_packet_to_nowhere_is_answered_from_where_it_was_going() {
    let sent = Build::udp4().payload(100).bytes();
    let answer = refused(&sent, IcmpError::HostUnreachable).unwrap();
    assert!(checksum_is_right(&answer));
    let frame = packet::parse(&answer, 0).unwrap();
    assert_eq!((frame.source_ip(), frame.destination_ip()), (ip4(2), ip4(1)));
    assert_eq!((frame.protocol, frame.length as usize), (ICMP, answer.len()));
    assert_eq!(answer[20..28], [3, 1, answer[22], answer[23], 0, 0, 0, 0]);
    assert_eq!(answer[28..], sent[..]);
}

#[test]
fn ipv6_says_address_unreachable() {
    let sent = Build::tcp6().payload(100).bytes();
    let answer = refused(&sent, IcmpError::HostUnreachable).unwrap();
    assert!(checksum_is_right(&answer));
    assert_eq!(answer[40..42], [1, 3]);
    assert_eq!((&answer[8..24], &answer[24..40]), (&sent[24..40], &sent[8..24]));
    assert_eq!(answer[48..], sent[..]);
}

#[test]
fn what_is_too_big_is_told_the_mtu() {
    let answer = refused(&Build::tcp4().payload(1380).bytes(), IcmpError::TooBig { mtu: 1280 });
    let answer = answer.unwrap();
    assert!(checksum_is_right(&answer));
    assert_eq!((&answer[20..22], &answer[26..28]), (&[3, 4][..], &1280u16.to_be_bytes()[..]));
    assert_eq!(answer.len(), 576, "no longer than RFC 1812 allows");
    let answer = refused(&Build::udp6().payload(1372).bytes(), IcmpError::TooBig { mtu: 1300 });
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
    icmp_errors.refuse(&frame, &bytes, IcmpError::TooBig { mtu: 1280 }, SECOND_NS);
    let answer = icmp_errors.made().pop().unwrap();
    let quoted = &answer[28..];
    assert_eq!(usize::from(u16::from_be_bytes([quoted[2], quoted[3]])), 20 + 20 + 1380);
    assert_eq!(naive_checksum(&quoted[..20]), 0);
    assert_eq!(quoted[24..28], 1_000_000u32.to_be_bytes(), "the sequence number");
}

#[test]
fn who_must_not_be_answered_is_not() {
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
    for (what, bytes) in [
        ("from nobody", with(|b| b[12..16].fill(0))),
        ("from this host", with(|b| b[12] = 127)),
        ("from a group", with(|b| b[12] = 224)),
        ("to a group", with(|b| b[16] = 239)),
        ("to all", with(|b| b[16..20].fill(255))),
        ("a later fragment", with(|b| b[7] = 9)),
        ("from nobody, IPv6", v6(|b| b[8..24].fill(0))),
        ("to a group, IPv6", v6(|b| b[24] = 0xFF)),
        ("an error", icmp(4, 3)),
        ("a redirect", icmp(4, 5)),
        ("an IPv6 error", icmp(6, 2)),
    ] {
        assert_eq!(refused(&bytes, IcmpError::HostUnreachable), None, "{what}");
    }
    for (what, bytes) in [
        ("a first fragment", with(|b| b[6] = 0x20)),
        ("an echo request", icmp(4, 8)),
        ("an IPv6 echo request", icmp(6, 128)),
    ] {
        assert!(refused(&bytes, IcmpError::HostUnreachable).is_some(), "{what}");
    }
}

#[test]
fn twenty_a_second_and_source_and_five_at_once_are_answered_each_kind_by_itself() {
    let mut icmp_errors = IcmpErrors::default();
    let bytes = Build::tcp4().payload(1380).bytes();
    let frame = packet::parse(&bytes, 0).unwrap();
    let mut refuse = |why, at_ms: u64| {
        icmp_errors.refuse(&frame, &bytes, why, SECOND_NS + at_ms * MILLISECOND_NS);
        icmp_errors.made().drain(..).count()
    };
    let flood: usize = (0..1000).map(|_| refuse(IcmpError::HostUnreachable, 0)).sum();
    assert_eq!(flood, 5);
    assert_eq!(refuse(IcmpError::TooBig { mtu: 1280 }, 0), 1);
    let later: usize = (1..=1000).map(|ms| refuse(IcmpError::HostUnreachable, ms)).sum();
    assert_eq!(later, 20);
}

#[test]
fn only_what_may_not_be_fragmented_is_too_big_and_only_where_its_sender_would_obey() {
    let too_big = |build: Build, mtu| {
        let bytes = build.payload(1380).bytes();
        is_too_big(&packet::parse(&bytes, 0).unwrap(), &bytes, mtu)
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
