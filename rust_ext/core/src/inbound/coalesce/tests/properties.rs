//! What holds for any sequence of packets.

use proptest::prelude::*;

use super::{super::*, ALL, drain};
use crate::packet::{
    build::{Build, checksums_are_right},
    ip, parse,
};

/// One step of a sender: which of its flows, how much, and what is odd about it.
#[derive(Clone, Debug)]
struct Step {
    flow: usize,
    length: usize,
    oddity: Oddity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Oddity {
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
    use Oddity::*;
    let oddity = prop_oneof![
        20 => Just(None),
        4 => prop::sample::select(vec![Push, Gap, Acknowledgement, Damaged, Fragment]),
        2 => prop::sample::select(vec![Fin, PureAck, Ttl, Ecn, Options, IpOptions, Identification]),
    ];
    let length = prop_oneof![6 => Just(1200usize), 2 => Just(300usize), 1 => 4usize..1400];
    let step = (0usize..6, length, oddity).prop_map(|(flow, length, oddity)| Step {
        flow,
        length,
        oddity,
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

/// The packets, each with its number in its first four bytes of payload where it has any.
fn packets(steps: &[Step]) -> Vec<Vec<u8>> {
    let mut flows = flows();
    let one = |(number, step): (usize, &Step)| {
        let flow = &mut flows[step.flow];
        if step.oddity == Oddity::Gap {
            flow.sequence = flow.sequence.wrapping_add(100);
        }
        if step.oddity == Oddity::Identification {
            flow.identification = flow.identification.wrapping_add(9);
        }
        if step.oddity == Oddity::Acknowledgement {
            flow.acknowledgement += 1;
        }
        *flow = flow.clone().payload(step.length);
        flow.payload[..4].copy_from_slice(&(number as u32).to_be_bytes());
        let mut packet = flow.clone();
        *flow = flow.next();
        match step.oddity {
            Oddity::Push => packet.tcp_flags |= tcp::PSH,
            Oddity::Fin => packet.tcp_flags |= tcp::FIN,
            Oddity::PureAck => packet.payload.clear(),
            Oddity::Ttl => packet.ttl = 3,
            Oddity::Ecn => packet.ds = 3,
            Oddity::Options => packet.tcp_options = vec![1; 8],
            Oddity::IpOptions => packet.ip_options = vec![1; 4],
            Oddity::Fragment if packet.version == 4 => packet.fragment = 0x2000,
            Oddity::Fragment => packet.extensions = vec![(44, vec![0, 0, 0, 1, 0, 0, 0, 1])],
            _ => {}
        }
        let mut bytes = packet.bytes();
        if step.oddity == Oddity::Damaged {
            let last = bytes.len() - 1;
            bytes[last] ^= 0x80;
        }
        bytes
    };
    steps.iter().enumerate().map(one).collect()
}

/// A packet without what a merge may move: PSH, and so the checksum.
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
    fn nothing_is_lost_or_made_and_every_flow_keeps_its_order(
        steps in steps(), seed: u64, psh_closes: bool,
    ) {
        let input = packets(&steps);
        let drained =
            drain(&mut Coalesce::new(CoalesceOptions { psh_closes, ..ALL }, seed), &input);
        let mut waiting: Vec<Option<&Vec<u8>>> = input.iter().map(Some).collect();
        let mut order = Vec::new();
        for frame in &drained.batch.frames {
            let parts = drained.packets(frame);
            prop_assert!(frame.length as usize <= ip::MAX_LENGTH);
            prop_assert!(frame.protocol != udp::PROTOCOL || frame.segments <= 64);
            prop_assert!(frame.segments == 1 || parts.iter().all(|p| checksums_are_right(p)));
            for part in &parts {
                // The oldest packet with these bytes: a flow's packets are all different.
                let found = waiting.iter().position(|packet| {
                    packet.is_some_and(|packet| if frame.segments == 1 {
                        packet == part
                    } else {
                        without_push(packet) == without_push(part)
                    })
                });
                prop_assert!(found.is_some(), "a packet that nobody sent");
                let number = found.unwrap();
                waiting[number] = None;
                order.push(number);
            }
            // A push within the frame is on its last packet.
            let members = &order[order.len() - parts.len()..];
            let pushed = members.iter().any(|&i| parse(&input[i], 0).unwrap().tcp_flags & tcp::PSH != 0);
            prop_assert_eq!(frame.tcp_flags & tcp::PSH != 0, pushed);
        }
        prop_assert!(waiting.iter().all(Option::is_none), "a packet was lost");
        assert_order(&steps, &order);
    }

    #[test]
    fn split_coalesce_split_gives_the_same_bytes(
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

/// Packets of a flow leave in the order in which they came; a fragment's place among all packets
/// between its addresses does not change either.
fn assert_order(steps: &[Step], order: &[usize]) {
    let mut place = vec![0; order.len()];
    for (at, &number) in order.iter().enumerate() {
        place[number] = at;
    }
    let pair = |flow: usize| [0, 0, 0, 1, 2, 2][flow];
    for later in 0..steps.len() {
        for earlier in 0..later {
            let [a, b] = [&steps[earlier], &steps[later]];
            let is_fragment = [a, b].iter().any(|step| step.oddity == Oddity::Fragment);
            if a.flow == b.flow || is_fragment && pair(a.flow) == pair(b.flow) {
                assert!(place[earlier] < place[later], "{earlier} and {later}: {a:?} {b:?}");
            }
        }
    }
}
