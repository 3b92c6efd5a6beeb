use proptest::prelude::*;

use super::*;
use crate::wireguard::path::{Path, Source};

#[test]
fn the_lengths_of_the_original_bug_give_five_batches() {
    let mut egress = GsoEgress::new(64, 16);
    for length in [1228, 834, 1031, 1228, 834, 1228, 1228, 637, 1228, 1228] {
        push(&mut egress, &peer_at("192.0.2.1:51820"), length);
    }
    assert_eq!(
        lengths(&egress),
        [vec![1228, 834], vec![1031], vec![1228, 834], vec![1228, 1228, 637], vec![1228, 1228]]
    );
}

#[test]
fn each_destination_keeps_its_open_batch() {
    let mut egress = GsoEgress::new(64, 16);
    let (here, there) = (peer_at("192.0.2.1:1"), peer_at("192.0.2.2:1"));
    for target in [&here, &there, &here, &there] {
        push(&mut egress, target, 1000);
    }
    assert_eq!(lengths(&egress), [vec![1000, 1000], vec![1000, 1000]]);
    assert_eq!(destinations(&egress), ["192.0.2.1:1", "192.0.2.2:1"]);
}

#[test]
fn an_older_batch_to_a_destination_is_never_extended() {
    let mut egress = GsoEgress::new(64, 16);
    let target = peer_at("192.0.2.1:1");
    for length in [1000, 1200, 1000, 1000] {
        push(&mut egress, &target, length);
    }
    assert_eq!(lengths(&egress), [vec![1000], vec![1200, 1000], vec![1000]]);
}

#[test]
fn a_shorter_datagram_closes_its_batch() {
    let mut egress = GsoEgress::new(64, 16);
    let target = peer_at("192.0.2.1:1");
    for length in [1000, 400, 400] {
        push(&mut egress, &target, length);
    }
    assert_eq!(lengths(&egress), [vec![1000, 400], vec![400]]);
}

#[test]
fn a_batch_ends_at_the_longest_send() {
    let mut egress = GsoEgress::new(64, 16);
    for _ in 0..46 {
        push(&mut egress, &peer_at("192.0.2.1:1"), 1452);
    }
    // 45 × 1452 = 65,340 B; a 46th would exceed 65,507 B.
    assert_eq!(lengths(&egress).iter().map(Vec::len).collect::<Vec<_>>(), [45, 1]);
}

#[test]
fn an_open_tail_has_room_and_is_not_the_only_batch() {
    let mut egress = GsoEgress::new(3, 16);
    let target = peer_at("192.0.2.1:1");
    let mut open = |length| {
        push(&mut egress, &target, length);
        egress.has_open_tail()
    };
    assert_eq!([1000, 1000, 1000].map(&mut open), [false, false, false]);
    assert_eq!([1000, 1000, 1000].map(&mut open), [true, true, false]);
    assert_eq!([1000, 900].map(&mut open), [true, false], "the shorter one closed it");
}

#[test]
fn an_ipv6_send_carries_twenty_bytes_more() {
    for (destination, limit) in [("192.0.2.1:1", 65_507), ("[2001:db8::1]:1", 65_527)] {
        let mut egress = GsoEgress::new(64, 4);
        push(&mut egress, &peer_at(destination), limit - 1000 - 1);
        push(&mut egress, &peer_at(destination), 1001);
        assert_eq!(lengths(&egress), [vec![limit - 1001, 1001]], "{destination}");
        let mut egress = GsoEgress::new(64, 4);
        push(&mut egress, &peer_at(destination), limit - 1000);
        push(&mut egress, &peer_at(destination), 1001);
        assert_eq!(lengths(&egress), [vec![limit - 1000], vec![1001]], "{destination}");
    }
}

#[test]
fn a_batch_ends_at_the_segment_limit() {
    let mut egress = GsoEgress::new(64, 16);
    for _ in 0..65 {
        push(&mut egress, &peer_at("192.0.2.1:1"), 96);
    }
    assert_eq!(lengths(&egress).iter().map(Vec::len).collect::<Vec<_>>(), [64, 1]);
}

#[test]
fn a_change_of_ecn_opens_a_batch_each_time() {
    let mut egress = GsoEgress::new(64, 16);
    let plain = peer_at("192.0.2.1:1");
    let marked = Target { ds: 0b11, ..plain };
    for target in [&plain, &plain, &marked, &plain] {
        push(&mut egress, target, 1000);
    }
    let marks: Vec<u8> = egress.batches().map(|(b, _)| b.target().ds).collect();
    assert_eq!(
        (lengths(&egress), marks),
        (vec![vec![1000; 2], vec![1000], vec![1000]], vec![0, 3, 0])
    );
}

#[test]
fn a_change_of_source_opens_a_batch() {
    let mut egress = GsoEgress::new(64, 16);
    let target = peer_at("192.0.2.1:1");
    let source = Some(Source { address: [192, 0, 2, 9].into(), interface: 0 });
    push(&mut egress, &target, 1000);
    push(&mut egress, &Target { path: Path { source, ..target.path }, ..target }, 1000);
    push(&mut egress, &target, 1000);
    assert_eq!(lengths(&egress), [[1000], [1000], [1000]]);
}

#[test]
fn a_dropped_reservation_leaves_the_list_as_it_was() {
    let mut egress = GsoEgress::new(64, 2);
    let target = peer_at("192.0.2.1:1");
    drop(egress.reserve(&target, 500));
    assert!(egress.is_empty());
    assert_eq!(egress.free_buffers(), 2);
    push(&mut egress, &target, 1000);
    drop(egress.reserve(&target, 10));
    push(&mut egress, &target, 1000);
    assert_eq!(lengths(&egress), [vec![1000, 1000]], "the short one neither joined nor closed");
}

#[test]
fn an_empty_pool_refuses_until_a_batch_completes() {
    let mut egress = GsoEgress::new(1, 2);
    let target = peer_at("192.0.2.1:1");
    push(&mut egress, &target, 100);
    push(&mut egress, &target, 100);
    assert!(egress.reserve(&target, 100).is_none());
    let completed = egress.complete(1).unwrap();
    assert_eq!(completed, Completed { peer: target.peer, segments: 1, bytes: 100 });
    assert!(egress.reserve(&target, 100).is_some());
}

#[test]
fn a_partly_sent_batch_is_not_extended() {
    let mut egress = GsoEgress::new(64, 4);
    let target = peer_at("192.0.2.1:1");
    for _ in 0..3 {
        push(&mut egress, &target, 100);
    }
    egress.complete(2);
    push(&mut egress, &target, 100);
    assert_eq!(lengths(&egress), [[100], [100]]);
    assert_eq!(egress.queued_segments(), 2);
}

#[test]
fn the_buffer_used_last_is_reused_first() {
    let mut egress = GsoEgress::new(64, 3);
    let target = peer_at("192.0.2.1:1");
    let mut starts = Vec::new();
    for _ in 0..5 {
        for _ in 0..60 {
            push(&mut egress, &target, 1000);
        }
        starts.push(egress.batches().next().unwrap().1.as_ptr());
        egress.complete(60);
    }
    assert!(starts.iter().all(|&start| start == starts[0]));
    assert_eq!(egress.counts().sizes, [0, 0, 0, 0, 0, 0, 5, 0]);
}

proptest! {
    #[test]
    fn each_destination_keeps_its_order_and_loses_nothing(
        sent in prop::collection::vec((0..4usize, 0..3u8, 1..1500usize), 1..400),
        max_segments in 1..65usize,
    ) {
        let targets = ["192.0.2.1:1", "192.0.2.1:2", "[2001:db8::1]:1", "[2001:db8::2]:9"].map(peer_at);
        let mut egress = GsoEgress::new(max_segments, sent.len());
        for (number, &(to, ds, length)) in sent.iter().enumerate() {
            let target = Target { ds, ..targets[to] };
            let mut reservation = egress.reserve(&target, length).unwrap();
            prop_assert_eq!(reservation.bytes().len(), length);
            reservation.bytes().fill(number as u8);
            reservation.commit(0, length, number as u64);
        }
        for target in &targets {
            let expected: Vec<_> = (0..sent.len())
                .filter(|&n| targets[sent[n].0].path == target.path)
                .map(|n| (n as u64, sent[n].1, sent[n].2))
                .collect();
            let mut found = Vec::new();
            for (batch, payload) in egress.batches().filter(|(b, _)| b.target().path == target.path) {
                prop_assert!(batch.datagrams() <= max_segments);
                prop_assert!(payload.len() <= send_limit(&target.path.destination));
                let sizes: Vec<_> = batch.lengths().collect();
                prop_assert!(sizes[..sizes.len() - 1].iter().all(|&l| l == batch.segment_size()));
                prop_assert_eq!(sizes.iter().sum::<usize>(), payload.len());
                for (slot, length) in batch.slots.iter().zip(sizes) {
                    let at = slot.offset as usize;
                    prop_assert!(payload[at..at + length].iter().all(|&b| b == slot.counter as u8));
                    found.push((slot.counter, batch.target().ds, length));
                }
            }
            prop_assert_eq!(found, expected);
        }
    }
}

fn peer_at(destination: &str) -> Target {
    Target { peer: PeerId(7), path: Path::to(destination.parse().unwrap()), ds: 0 }
}

fn push(egress: &mut GsoEgress, target: &Target, length: usize) {
    egress.reserve(target, length).unwrap().commit(0, length, 0);
}

fn lengths(egress: &GsoEgress) -> Vec<Vec<usize>> {
    egress.batches().map(|(batch, _)| batch.lengths().collect()).collect()
}

fn destinations(egress: &GsoEgress) -> Vec<String> {
    egress.batches().map(|(batch, _)| batch.target().path.destination.to_string()).collect()
}
