//! Properties of arbitrary sequences of packets.

use proptest::prelude::*;

use super::{super::*, ALL, drain};
use crate::packet::{
    build::{Build, checksums_are_right},
    ip, parse,
};

/// A packet of a sender: its flow, its payload length, and an anomaly.
#[derive(Clone, Debug)]
struct Step {
    flow: usize,
    length: usize,
    anomaly: Anomaly,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Anomaly {
    None,
    Push,
    Fin,
    PureAck,
    Gap,
    Ttl,
    Ecn,
    Acknowledgement,
    Options,
    IpOptions,
    Identification,
    Fragment,
    Damaged,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    use Anomaly::*;
    let anomaly = prop_oneof![
        20 => Just(None),
        4 => prop::sample::select(vec![Push, Gap, Acknowledgement, Damaged, Fragment]),
        2 => prop::sample::select(vec![Fin, PureAck, Ttl, Ecn, Options, IpOptions, Identification]),
    ];
    let length = prop_oneof![6 => Just(1200usize), 2 => Just(300usize), 1 => 4usize..1400];
    let step = (0usize..6, length, anomaly).prop_map(|(flow, length, anomaly)| Step {
        flow,
        length,
        anomaly,
    });
    proptest::collection::vec(step, 1..120)
}

/// Six flows between two pairs of addresses.
fn flows() -> Vec<Build> {
    vec![
        Build::tcp4(),
        Build::tcp4().with(|p| p.ports.0 = 5),
        Build::udp4(),
        Build::tcp4().with(|p| p.fragment = 0).with(|p| p.destination = 9),
        Build::tcp6(),
        Build::udp6(),
    ]
}

/// The packets, each with its number in the first four bytes of its payload if it has any.
fn packets(steps: &[Step]) -> Vec<Vec<u8>> {
    let mut flows = flows();
    let one = |(number, step): (usize, &Step)| {
        let flow = &mut flows[step.flow];
        if step.anomaly == Anomaly::Gap {
            flow.sequence = flow.sequence.wrapping_add(100);
        }
        if step.anomaly == Anomaly::Identification {
            flow.identification = flow.identification.wrapping_add(9);
        }
        if step.anomaly == Anomaly::Acknowledgement {
            flow.acknowledgement += 1;
        }
        *flow = flow.clone().payload(step.length);
        flow.payload[..4].copy_from_slice(&(number as u32).to_be_bytes());
        let mut packet = flow.clone();
        *flow = flow.next();
        match step.anomaly {
            Anomaly::Push => packet.tcp_flags |= tcp::PSH,
            Anomaly::Fin => packet.tcp_flags |= tcp::FIN,
            Anomaly::PureAck => packet.payload.clear(),
            Anomaly::Ttl => packet.ttl = 3,
            Anomaly::Ecn => packet.ds = 3,
            Anomaly::Options => packet.tcp_options = vec![1; 8],
            Anomaly::IpOptions => packet.ip_options = vec![1; 4],
            Anomaly::Fragment if packet.version == 4 => packet.fragment = 0x2000,
            Anomaly::Fragment => packet.extensions = vec![(44, vec![0, 0, 0, 1, 0, 0, 0, 1])],
            _ => {}
        }
        let mut bytes = packet.bytes();
        if step.anomaly == Anomaly::Damaged {
            let last = bytes.len() - 1;
            bytes[last] ^= 0x80;
        }
        bytes
    };
    steps.iter().enumerate().map(one).collect()
}

/// A packet without the fields that a merge may change: PSH and the checksum.
fn without_push(packet: &[u8]) -> Vec<u8> {
    let frame = parse(packet, 0).unwrap();
    let mut packet = packet.to_vec();
    if frame.protocol == tcp::PROTOCOL && frame.flags & flags::NO_FLOW == 0 {
        let transport = usize::from(frame.transport_offset);
        packet[transport + tcp::FLAGS_OFFSET] &= !tcp::PSH;
        packet[transport + tcp::CHECKSUM_OFFSET..][..2].fill(0);
    }
    packet
}

proptest! {
    #[test]
    fn packets_are_preserved_and_flows_keep_their_order(
        steps in steps(), seed: u64, psh_closes: bool,
    ) {
        let input = packets(&steps);
        let drained =
            drain(&mut Coalesce::new(CoalesceOptions { psh_closes, ..ALL }, seed), &input);
        let mut remaining: Vec<Option<&Vec<u8>>> = input.iter().map(Some).collect();
        let mut order = Vec::new();
        for frame in &drained.batch.frames {
            let parts = drained.packets(frame);
            prop_assert!(frame.length as usize <= ip::MAX_LENGTH);
            prop_assert!(frame.protocol != udp::PROTOCOL || frame.segments <= 64);
            prop_assert!(frame.segments == 1 || parts.iter().all(|p| checksums_are_right(p)));
            for part in &parts {
                // The oldest packet with these bytes: the packets of a flow all differ.
                let found = remaining.iter().position(|packet| {
                    packet.is_some_and(|packet| if frame.segments == 1 {
                        packet == part
                    } else {
                        without_push(packet) == without_push(part)
                    })
                });
                prop_assert!(found.is_some(), "a packet that was not sent");
                let number = found.unwrap();
                remaining[number] = None;
                order.push(number);
            }
            // PSH of any segment is on the last packet of the frame.
            let members = &order[order.len() - parts.len()..];
            let pushed = members.iter().any(|&i| parse(&input[i], 0).unwrap().tcp_flags & tcp::PSH != 0);
            prop_assert_eq!(frame.tcp_flags & tcp::PSH != 0, pushed);
        }
        prop_assert!(remaining.iter().all(Option::is_none), "a packet was lost");
        assert_order(&steps, &order);
    }

    #[test]
    fn splitting_a_merged_frame_gives_the_same_bytes(
        flow in 0usize..6,
        size in 1u16..1500,
        payload in 2usize..60_000,
        push: bool,
    ) {
        let count = payload.div_ceil(size.into());
        let limit = if flow == 2 || flow == 5 { 64 } else { 256 };
        prop_assume!(count > 1 && count <= limit);
        let build = flows()[flow].clone().payload(payload).with(|p| {
            p.partial = true;
            p.tcp_flags |= if push { tcp::PSH } else { 0 };
        });
        let bytes = build.bytes();
        let mut frame = parse(&bytes, 0).unwrap();
        frame.segments = count as u16;
        frame.segment_size = size;
        frame.flags |= flags::PARTIAL_CHECKSUM;
        let first = crate::packet::split::all(&frame, &bytes);
        let drained = drain(&mut Coalesce::new(ALL, 7), &first);
        prop_assert_eq!(drained.batch.frames.len(), 1);
        let merged = &drained.batch.frames[0];
        prop_assert_eq!(drained.bytes(merged), bytes);
        prop_assert_eq!(merged.segment_size, size);
        prop_assert_eq!(drained.packets(merged), first);
    }
}

/// Packets of a flow keep their order of arrival, and a fragment keeps its place among all packets between its
/// addresses.
fn assert_order(steps: &[Step], order: &[usize]) {
    let mut place = vec![0; order.len()];
    for (at, &number) in order.iter().enumerate() {
        place[number] = at;
    }
    let pair = |flow: usize| [0, 0, 0, 1, 2, 2][flow];
    for later in 0..steps.len() {
        for earlier in 0..later {
            let [a, b] = [&steps[earlier], &steps[later]];
            let is_fragment = [a, b].iter().any(|step| step.anomaly == Anomaly::Fragment);
            if a.flow == b.flow || is_fragment && pair(a.flow) == pair(b.flow) {
                assert!(place[earlier] < place[later], "{earlier} and {later}: {a:?} {b:?}");
            }
        }
    }
}
