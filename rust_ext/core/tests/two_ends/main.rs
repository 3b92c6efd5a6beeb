//! Two nodes on a virtual wire: the guarantees of the data path, without a kernel.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod networks;

use pyfw_core::{drop_reason::InboundDrop, inbound::coalesce::CoalesceOptions, time::SECOND_NS};
use pyfw_testkit::{
    node::{Batch, WrittenFrame},
    packets::{HEADERS, address, checksums_are_right, plain, tcp, tso, udp},
    pair::{CLIENT, Pair, SERVER},
};

#[test]
fn the_packets_of_the_original_bug_arrive_in_order() {
    let mut pair = Pair::connected();
    let mut seq = 1;
    let frames: Vec<_> = [1228, 834, 1031, 1228, 834, 1228, 1228, 637, 1228, 1228]
        .iter()
        .map(|&length| {
            let packet = tcp(CLIENT, SERVER, (3000, 53474), seq, 0, &vec![seq as u8; length]);
            seq += length as u32;
            plain(&packet)
        })
        .collect();
    pair.client.tun_drain(&frames);
    let counts: Vec<usize> = pair.client.sent.iter().map(|b| b.lengths.len()).collect();
    assert_eq!(counts, [2, 1, 2, 3, 2]);
    pair.settle();
    assert_eq!(stream(&pair.server.written, 1), (1..seq).collect::<Vec<_>>().len());
    pair.assert_conserved_and_ordered();
}

#[test]
fn a_super_packet_arrives_unchanged() {
    let mut pair = Pair::connected();
    let payload: Vec<u8> = (0..60_000u32).map(|i| (i % 251) as u8).collect();
    let packet = tcp(CLIENT, SERVER, (80, 4000), 77, 0, &payload);
    pair.client.tun_drain(&[tso(&packet, 1380)]);
    pair.settle();
    let WrittenFrame { header, packet: written, segments } = &pair.server.written[0];
    assert_eq!(pair.server.written.len(), 1);
    assert_eq!((written.len(), *segments), (packet.len(), 44));
    assert_eq!(written[HEADERS..], packet[HEADERS..]);
    assert_eq!((header[0], header[1], header[4], header[5]), (1, 1, 100, 5));
    pair.assert_conserved_and_ordered();
}

#[test]
fn segments_are_correct_without_offloads_at_the_receiver() {
    let mut pair = Pair::connected();
    pair.server.inbound.set_coalesce(CoalesceOptions {
        tcp4: false,
        tcp6: false,
        udp: false,
        psh_closes: false,
    });
    let packet = tcp(CLIENT, SERVER, (80, 4000), 77, 0b10, &vec![9; 20_001]);
    pair.client.tun_drain(&[tso(&packet, 1000)]);
    pair.settle();
    assert_eq!(pair.server.written.len(), 21);
    let is_right = |f: &WrittenFrame| f.segments == 1 && checksums_are_right(&f.packet);
    assert!(pair.server.written.iter().all(is_right));
    pair.assert_conserved_and_ordered();
}

#[test]
fn a_standing_queue_at_the_socket_marks_or_drops_packets() {
    let mut pair = Pair::connected();
    pair.server.waited_ns = 5_000_000;
    let (mut seq, mut sent) = (1, [0, 0]);
    for round in 0..300 {
        for ecn in if round % 2 == 0 { [0, 0b10] } else { [0b10, 0] } {
            let packet = tcp(CLIENT, SERVER, (1 + u16::from(ecn), 2), seq, ecn, &[7; 100]);
            pair.client.tun_drain(&[plain(&packet)]);
            sent[usize::from(ecn / 2)] += 1;
        }
        seq += 100;
        pair.advance(2_000_000);
    }
    let counts = pair.server.inbound_counts.read();
    let dropped = counts.drops[InboundDrop::Congested as usize];
    assert!(dropped > 0 && counts.marked > 0, "{counts:?}");
    let arrived = |ecn: u8| {
        pair.server
            .written
            .iter()
            .filter(|frame| (frame.packet[1] & 0b11 != 0) == (ecn != 0))
            .count()
    };
    assert_eq!((arrived(0) as u64 + dropped, arrived(2)), (sent[0], sent[1] as usize));
    pair.assert_conserved_and_ordered();
}

#[test]
fn a_flow_whose_ecn_changes_keeps_its_order() {
    let mut pair = Pair::connected();
    let mut seq = 1;
    let mut frames = Vec::new();
    for i in 0..60 {
        let length = [1200, 1200, 700][i % 3];
        let ecn = [0b10, 0b11, 0b10, 0b01][i % 4];
        frames.push(plain(&tcp(CLIENT, SERVER, (1, 2), seq, ecn, &vec![0; length])));
        seq += length as u32;
    }
    pair.client.tun_drain(&frames);
    assert!(pair.client.sent.iter().any(|b| b.ds == 0b11));
    pair.settle();
    assert_eq!(stream(&pair.server.written, 1), seq as usize - 1);
    pair.assert_conserved_and_ordered();
}

#[test]
fn staged_frames_are_sent_first_and_in_order() {
    let mut pair = Pair::new();
    let mut seq = 1;
    for _ in 0..20 {
        pair.client.tun_drain(&[plain(&tcp(CLIENT, SERVER, (1, 2), seq, 0, &[1; 500]))]);
        seq += 500;
    }
    assert_eq!(pair.client.outbound_counts.read().queued, 20);
    pair.settle();
    pair.client.tun_drain(&[plain(&tcp(CLIENT, SERVER, (1, 2), seq, 0, &[1; 500]))]);
    pair.settle();
    assert_eq!(stream(&pair.server.written, 1), 21 * 500);
    pair.assert_conserved_and_ordered();
}

#[test]
fn staging_drops_the_oldest_beyond_128_segments() {
    let mut pair = Pair::new();
    for number in 0..130u32 {
        pair.client.tun_drain(&[plain(&udp(CLIENT, SERVER, (1, 2), &number.to_be_bytes()))]);
    }
    pair.settle();
    let first = &pair.server.written[0].packet;
    assert_eq!(first[28..32], 2u32.to_be_bytes());
    let counts = pair.client.outbound_counts.read();
    let overflow = counts.named_drops().find(|(name, _)| *name == "staged_overflow").unwrap().1;
    assert_eq!((counts.left, overflow), (128, 2));
    pair.assert_conserved_and_ordered();
}

#[test]
fn rekeying_under_load_loses_and_reorders_nothing() {
    let mut pair = Pair::connected();
    let mut seq = 1u32;
    // A drain each 100 ms for three lifetimes of a session.
    for tick in 0..4000u64 {
        pair.advance(SECOND_NS / 10);
        pair.client.tun_drain(&[plain(&tcp(CLIENT, SERVER, (1, 2), seq, 0, &[1; 100]))]);
        if tick % 3 == 0 {
            pair.server.tun_drain(&[plain(&udp(SERVER, CLIENT, (2, 1), &[0; 10]))]);
        }
        seq += 100;
        pair.settle();
    }
    assert_eq!(stream(&pair.server.written, 1), 400_000);
    assert!(pair.server.datagram_counts.read().handshakes >= 3);
    pair.assert_conserved_and_ordered();
}

#[test]
fn replayed_forged_and_unknown_messages_are_dropped() {
    let mut pair = Pair::connected();
    pair.client.tun_drain(&[plain(&udp(CLIENT, SERVER, (1, 2), b"once"))]);
    let genuine = pair.client.sent[0].clone();
    let mut forged = genuine.clone();
    forged.payload[20] ^= 1;
    let mut other_session = genuine.clone();
    other_session.payload[4] ^= 1;
    let noise = Batch { payload: vec![9; 100], lengths: vec![100], ..genuine.clone() };
    let from = pair.client.address;
    for batch in [&forged, &genuine, &genuine, &other_session, &noise] {
        pair.server.udp_drain(&[(from, batch.clone())]);
    }
    pair.client.sent.clear();
    let counts = pair.server.datagram_counts.read();
    let drops: Vec<_> = counts.named_drops().filter(|(_, n)| *n != 0).collect();
    assert_eq!(drops, [("unknown", 1), ("no_session", 1), ("replay", 1), ("forged", 1)]);
    assert_eq!(pair.server.written.len(), 1);
    pair.server.assert_conserved();
}

#[test]
fn replayed_messages_do_not_hold_up_new_ones_of_their_drain() {
    let mut pair = Pair::connected();
    for n in 0..4u8 {
        pair.client.tun_drain(&[plain(&udp(CLIENT, SERVER, (1, 2), &[n; 40]))]);
    }
    let from = pair.client.address;
    let sent: Vec<_> = pair.client.sent.drain(..).map(|batch| (from, batch)).collect();
    pair.server.udp_drain(&sent[..2]);
    pair.server.udp_drain(&sent);
    let first_and_segments = |frame: &WrittenFrame| (frame.packet[28], frame.segments);
    let written: Vec<_> = pair.server.written.iter().map(first_and_segments).collect();
    assert_eq!(written, [(0, 2), (2, 2)]);
    let counts = pair.server.datagram_counts.read();
    assert_eq!(counts.named_drops().find(|(name, _)| *name == "replay").unwrap().1, 2);
    pair.assert_conserved_and_ordered();
}

#[test]
fn a_source_outside_the_allowed_ips_is_dropped() {
    let mut pair = Pair::connected();
    pair.client.tun_drain(&[plain(&udp(address("10.9.9.9"), SERVER, (1, 2), b"spoofed"))]);
    pair.settle();
    assert!(pair.server.written.is_empty());
    let counts = pair.server.inbound_counts.read();
    assert_eq!(counts.named_drops().find(|(n, _)| *n == "source_not_allowed").unwrap().1, 1);
    pair.assert_conserved_and_ordered();
}

#[test]
fn a_destination_without_a_peer_is_dropped() {
    let mut pair = Pair::connected();
    pair.client.tun_drain(&[plain(&udp(CLIENT, address("10.7.7.7"), (1, 2), b"nobody"))]);
    let counts = pair.client.outbound_counts.read();
    assert_eq!(counts.named_drops().find(|(n, _)| *n == "no_route").unwrap().1, 1);
    pair.assert_conserved_and_ordered();
}

#[test]
fn a_marked_datagram_marks_or_drops_its_packet() {
    let mut pair = Pair::connected();
    for ecn in [0b10, 0b00] {
        pair.client.tun_drain(&[plain(&tcp(CLIENT, SERVER, (1, 2), 1, ecn, b"x"))]);
    }
    for mut batch in std::mem::take(&mut pair.client.sent) {
        batch.ds = 0b11;
        pair.server.udp_drain(&[(pair.client.address, batch)]);
    }
    assert_eq!(pair.server.written.len(), 1);
    let packet = &pair.server.written[0].packet;
    assert_eq!(packet[1] & 3, 0b11);
    assert!(checksums_are_right(packet));
    let counts = pair.server.inbound_counts.read();
    assert_eq!((counts.marked, counts.dropped()), (1, 1));
    pair.assert_conserved_and_ordered();
}

#[test]
fn a_client_that_moved_is_answered_at_its_new_address() {
    let mut pair = Pair::connected();
    pair.client.address = "198.51.100.7:4444".parse().unwrap();
    pair.client.tun_drain(&[plain(&udp(CLIENT, SERVER, (1, 2), b"moved"))]);
    pair.settle();
    pair.server.tun_drain(&[plain(&udp(SERVER, CLIENT, (2, 1), b"answer"))]);
    assert_eq!(pair.server.sent.last().unwrap().to, pair.client.address);
    pair.settle();
    assert_eq!(pair.client.written.len(), 1);
    pair.assert_conserved_and_ordered();
}

#[test]
fn reordered_messages_are_delivered_and_counted_as_late() {
    let mut pair = Pair::connected();
    for n in 0..4u8 {
        pair.client.tun_drain(&[plain(&udp(CLIENT, SERVER, (1, 2), &[n; 40]))]);
    }
    let mut sent = std::mem::take(&mut pair.client.sent);
    sent.swap(1, 2);
    for batch in sent {
        pair.server.udp_drain(&[(pair.client.address, batch)]);
    }
    assert_eq!(pair.server.written.len(), 4);
    assert_eq!(pair.server.inbound_counts.read().late, 1);
}

/// Asserts that TCP payloads follow each other without a gap, and returns their length.
fn stream(written: &[WrittenFrame], first: u32) -> usize {
    let mut expected = first;
    for WrittenFrame { packet, .. } in written {
        let seq = u32::from_be_bytes(packet[24..28].try_into().unwrap());
        assert_eq!(seq, expected, "out of order");
        expected += (packet.len() - HEADERS) as u32;
    }
    (expected - first) as usize
}
