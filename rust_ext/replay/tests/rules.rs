//! The batching rules through the whole core: which of them keep a flow in order.

#![allow(clippy::unwrap_used, reason = "a failed set-up fails the test")]

use pyfw_core::inbound::coalesce::CoalesceOptions;
use pyfw_replay::{
    plan::{DrainLimits, Frames, Impairment, NodePlan, Plan, Rule},
    result::RunResult,
    run::Run,
};

const SEED: [usize; 10] = [1228, 834, 1031, 1228, 834, 1228, 1228, 637, 1228, 1228];

#[test]
fn ordered_keeps_the_seed_in_order_in_five_batches() {
    let result = replay(&plan(Rule::Ordered), &seed_packets(&[0]));
    assert_eq!(batch_sizes(&result), [vec![2, 1, 2, 3, 2]].concat());
    let flow = &result.flows[0].1;
    assert_eq!((flow.segments, flow.delivered, flow.early, flow.late), (10, 10, 0, 0));
}

#[test]
fn by_size_reorders_the_seed() {
    let flow = replay(&plan(Rule::BySize), &seed_packets(&[0])).flows[0].1.clone();
    assert_eq!((flow.delivered, flow.late > 0, flow.early > 0), (10, true, true));
}

#[test]
fn by_ecn_reorders_a_flow_whose_ecn_changes() {
    let packets = seed_packets(&[0b10, 0b10, 0b11]);
    let by_ecn = replay(&plan(Rule::ByEcn), &packets).flows[0].1.clone();
    let ordered = replay(&plan(Rule::Ordered), &packets).flows[0].1.clone();
    assert!(by_ecn.late > 0);
    assert_eq!((ordered.late, ordered.early, ordered.delivered), (0, 0, 10));
}

#[test]
fn unbatched_keeps_order_with_one_send_each() {
    let result = replay(&plan(Rule::Unbatched), &seed_packets(&[0]));
    assert_eq!(batch_sizes(&result), [1; 10]);
    assert_eq!(result.flows[0].1.late, 0);
}

#[test]
fn tso_super_packets_leave_in_full_batches() {
    let packets: Vec<_> = (0..100u32).map(|n| packet(1 + n * 1000, 0, 1000)).collect();
    let result = replay(&Plan { frames: Frames::Tso, ..plan(Rule::Ordered) }, &packets);
    assert_eq!(batch_sizes(&result), [61, 39]);
    assert_eq!((result.flows[0].1.delivered, result.flows[0].1.late), (100, 0));
}

#[test]
fn impairments_are_counted_and_deterministic() {
    let impairment = Impairment {
        loss: 0.1,
        duplicate: 0.1,
        corrupt: 0.05,
        reorder: 0.1,
        reorder_ns: 3_000_000,
        delay_ns: 5_000_000,
        jitter_ns: 1_000_000,
        ..Impairment::default()
    };
    let mut plan = plan(Rule::Ordered);
    plan.nodes[1].impairment = impairment;
    let packets: Vec<_> = (0..2000u32).map(|n| packet(1 + n * 100, 0, 100)).collect();
    let (one, two) = (replay(&plan, &packets), replay(&plan, &packets));
    let flow = &one.flows[0].1;
    assert_eq!(*flow, two.flows[0].1);
    assert!(flow.late > 0 && flow.delivered < flow.segments && flow.unmatched == 0, "{flow:?}");
    let events = |kind| one.wire_events.iter().filter(|event| event.kind == kind).count() as u64;
    let datagrams = &one.nodes[0].1.datagrams;
    let drops: Vec<_> = datagrams.named_drops().filter(|(_, n)| *n != 0).collect();
    let corrupted = drops.iter().find(|(n, _)| *n == "forged").unwrap().1;
    assert!(corrupted > 0 && corrupted <= events("corrupted"));
    assert_eq!(
        flow.delivered + events("lost") + (events("corrupted") - repaired(&one)),
        flow.segments,
        "{drops:?}"
    );
}

/// Counts the corrupted datagrams of which an intact duplicate arrived.
fn repaired(result: &RunResult) -> u64 {
    let numbers = |kind| {
        result.wire_events.iter().filter(move |event| event.kind == kind).map(|event| event.number)
    };
    let is_duplicated = |number: &u64| numbers("duplicated").any(|other| other == *number);
    numbers("corrupted").filter(is_duplicated).count() as u64
}

fn plan(rule: Rule) -> Plan {
    let node = |name: &str, endpoint: &str, prefix: &str| NodePlan {
        stages: None,
        name: name.into(),
        endpoint: endpoint.parse().unwrap(),
        addresses: vec![prefix.parse().unwrap()],
        impairment: Impairment::default(),
    };
    Plan {
        nodes: vec![
            node("gateway", "192.0.2.1:51820", "10.0.1.0/24"),
            node("client", "192.0.2.2:51820", "10.0.0.2/32"),
        ],
        mtu: 1420,
        frames: Frames::Captured,
        drain: DrainLimits { window_ns: 100_000, frames: 128, bytes: 256 << 10 },
        rule,
        max_segments: 64,
        coalesce: CoalesceOptions { tcp4: true, tcp6: true, udp: true, psh_closes: false },
        handshake_before: true,
        seed: 1,
        timeline: Vec::new(),
        keep: 100_000,
    }
}

fn replay(plan: &Plan, packets: &[Vec<u8>]) -> RunResult {
    let mut run = Run::new(plan.clone(), || Box::new(pyfw_aead::Ring), None).unwrap();
    for (number, packet) in packets.iter().enumerate() {
        run.packet(number as u64 * 1000, packet);
    }
    run.finish().unwrap()
}

/// Returns the number of datagrams in each batch that carries packets.
fn batch_sizes(result: &RunResult) -> Vec<usize> {
    let data = result.batches.iter().filter(|b| b.flows.iter().all(|&f| f >= 0));
    data.map(|b| b.lengths.len()).collect()
}

fn seed_packets(ecn: &[u8]) -> Vec<Vec<u8>> {
    let mut sequence = 1;
    let packets = SEED.iter().enumerate().map(|(number, &length)| {
        sequence += length as u32;
        packet(sequence - length as u32, ecn[number % ecn.len()], length)
    });
    packets.collect()
}

/// Returns a TCP/IPv4 packet with valid checksums.
fn packet(sequence: u32, ecn: u8, length: usize) -> Vec<u8> {
    let mut p = vec![0x45, ecn];
    p.extend_from_slice(&(40 + length as u16).to_be_bytes());
    p.extend_from_slice(&[0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 2, 10, 0, 1, 1]);
    let checksum = !fold(sum(&p));
    p[10..12].copy_from_slice(&checksum.to_be_bytes());
    p.extend_from_slice(&[0x0b, 0xb8, 0xd0, 0xe2]);
    p.extend_from_slice(&sequence.to_be_bytes());
    p.extend_from_slice(&[0, 0, 0, 1, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
    p.resize(40 + length, 7);
    let pseudo = sum(&p[12..20]) + 6 + (20 + length) as u32;
    let checksum = !fold(pseudo + sum(&p[20..]));
    p[36..38].copy_from_slice(&checksum.to_be_bytes());
    p
}

fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|c| u32::from(c[0]) << 8 | u32::from(*c.get(1).unwrap_or(&0))).sum()
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
