//! Each rule by itself; `properties` tests arbitrary sequences.

use super::*;
use crate::packet::pieces::pieces;
use crate::packet::{
    build::{Build, checksums_are_right},
    parse, split,
};

mod properties;

pub(super) const ALL: CoalesceOptions =
    CoalesceOptions { tcp4: true, tcp6: true, udp: true, psh_closes: false };

/// The result of one drain.
pub(super) struct Drained {
    pub(super) batch: FrameBatch,
    pub(super) buffer: Vec<u8>,
}

impl Drained {
    /// The bytes of a frame, its slices concatenated.
    pub(super) fn bytes(&self, frame: &Frame) -> Vec<u8> {
        let mut whole = [Slice { offset: 0, length: 0 }];
        pieces(frame, &self.batch.slices, &mut whole)
            .iter()
            .flat_map(|s| self.buffer[s.offset as usize..(s.offset + s.length) as usize].to_vec())
            .collect()
    }

    /// The packets of a frame, split again.
    pub(super) fn packets(&self, frame: &Frame) -> Vec<Vec<u8>> {
        let bytes = self.bytes(frame);
        assert_eq!(bytes.len(), frame.length as usize);
        split::all(frame, &bytes)
    }

    fn all_packets(&self) -> Vec<Vec<u8>> {
        self.batch.frames.iter().flat_map(|frame| self.packets(frame)).collect()
    }

    fn segments(&self) -> Vec<u16> {
        self.batch.frames.iter().map(|frame| frame.segments).collect()
    }
}

/// Merges packets of peer 0, with gaps between them as between datagrams.
pub(super) fn drain(coalesce: &mut Coalesce, packets: &[Vec<u8>]) -> Drained {
    let mut batch = FrameBatch::default();
    let mut buffer = Vec::new();
    for packet in packets {
        buffer.extend_from_slice(&[0xDD; 16]);
        let offset = buffer.len() as u32;
        buffer.extend_from_slice(packet);
        let mut frame = parse(packet, offset).unwrap();
        frame.peer = 0;
        batch.frames.push(frame);
    }
    coalesce.process(&mut batch, &mut buffer);
    Drained { batch, buffer }
}

fn coalesced(packets: &[Vec<u8>]) -> Drained {
    drain(&mut Coalesce::new(ALL, 1), packets)
}

/// `count` consecutive packets of a sender, each with `size` bytes of payload.
fn run(build: &Build, size: usize, count: usize) -> Vec<Build> {
    let first = build.clone().payload(size);
    std::iter::successors(Some(first), |last| Some(last.next())).take(count).collect()
}

fn bytes(builds: &[Build]) -> Vec<Vec<u8>> {
    builds.iter().map(Build::bytes).collect()
}

/// The segments of each frame of three consecutive packets, the second of which is changed.
fn with_second(build: Build, change: impl FnOnce(&mut Build)) -> Vec<u16> {
    let mut packets = run(&build, 100, 3);
    change(&mut packets[1]);
    let input = bytes(&packets);
    let drained = coalesced(&input);
    assert_eq!(drained.all_packets(), input);
    drained.segments()
}

#[test]
fn a_run_of_one_flow_is_one_frame() {
    for build in [Build::tcp4(), Build::tcp6(), Build::udp4(), Build::udp6()] {
        let input = bytes(&run(&build, 1000, 40));
        let drained = coalesced(&input);
        assert_eq!(drained.segments(), [40]);
        let frame = &drained.batch.frames[0];
        assert_eq!((frame.slices, frame.segment_size), (40, 1000));
        assert_eq!(frame.flags, flags::PARTIAL_CHECKSUM);
        assert_eq!(drained.all_packets(), input);
        // The header is that of the super-packet before segmentation.
        let whole = build.payload(0).with(|p| {
            p.payload = (0..40).flat_map(|_| Build::tcp4().payload(1000).payload).collect();
            p.partial = true;
        });
        assert_eq!(drained.bytes(frame), whole.bytes());
    }
}

#[test]
fn a_single_packet_passes_unchanged() {
    let mut input = bytes(&[Build::tcp4().payload(100)]);
    input[0][38] ^= 0x55;
    let drained = coalesced(&input);
    let frame = &drained.batch.frames[0];
    assert_eq!((frame.slices, frame.segments, frame.segment_size, frame.flags), (0, 1, 0, 0));
    assert_eq!(drained.bytes(frame), input[0]);
    assert!(drained.batch.slices.is_empty());
}

#[test]
fn interleaved_flows_merge_separately() {
    let a = run(&Build::tcp4(), 100, 3);
    let b = run(&Build::tcp4().with(|p| p.ports.0 = 40_001), 100, 3);
    let c = run(&Build::udp6(), 100, 3);
    let input: Vec<_> =
        (0..3).flat_map(|i| bytes(&[a[i].clone(), b[i].clone(), c[i].clone()])).collect();
    let drained = coalesced(&input);
    assert_eq!(drained.segments(), [3, 3, 3]);
    let expected: Vec<_> = [a, b, c].iter().flat_map(|flow| bytes(flow)).collect();
    assert_eq!(drained.all_packets(), expected);
}

#[test]
fn flows_of_different_peers_or_directions_do_not_merge() {
    let packets = run(&Build::udp4(), 100, 2);
    let mut batch = FrameBatch::default();
    let mut buffer = Vec::new();
    for (peer, packet) in packets.iter().enumerate() {
        let mut frame = parse(&packet.bytes(), buffer.len() as u32).unwrap();
        frame.peer = peer as u32;
        buffer.extend(packet.bytes());
        batch.frames.push(frame);
    }
    Coalesce::new(ALL, 1).process(&mut batch, &mut buffer);
    assert_eq!(batch.frames.len(), 2);
    let swapped = with_second(Build::udp4(), |p| {
        (p.source, p.destination) = (p.destination, p.source);
        p.ports = (p.ports.1, p.ports.0);
    });
    // The first and third are of one flow, but their identifications have a gap.
    assert_eq!(swapped, [1, 1, 1]);
}

#[test]
fn the_merged_header_has_psh() {
    let mut packets = run(&Build::tcp4(), 100, 3);
    packets[1].tcp_flags |= tcp::PSH;
    let drained = coalesced(&bytes(&packets));
    assert_eq!(drained.segments(), [3]);
    assert_eq!(drained.batch.frames[0].tcp_flags, tcp::ACK | tcp::PSH);
    // Segmentation sets it on the last segment.
    packets[1].tcp_flags = tcp::ACK;
    packets[2].tcp_flags |= tcp::PSH;
    assert_eq!(drained.all_packets(), bytes(&packets));
}

#[test]
fn psh_closes_its_frame_if_configured() {
    let mut coalesce = Coalesce::new(CoalesceOptions { psh_closes: true, ..ALL }, 1);
    for (pushed, expected) in [(0, vec![1, 3]), (1, vec![2, 2]), (3, vec![4])] {
        let mut packets = run(&Build::tcp6(), 100, 4);
        packets[pushed].tcp_flags |= tcp::PSH;
        let drained = drain(&mut coalesce, &bytes(&packets));
        assert_eq!(drained.segments(), expected);
        assert_eq!(drained.all_packets(), bytes(&packets));
    }
}

#[test]
fn a_shorter_segment_is_merged_and_closes_the_frame() {
    for build in [Build::tcp4(), Build::udp6()] {
        let mut packets = run(&build, 100, 1);
        for length in [100, 60, 60, 100] {
            let next = packets[packets.len() - 1].next().payload(length);
            packets.push(next);
        }
        let input = bytes(&packets);
        let drained = coalesced(&input);
        // 100 100 60 | 60 | 100: a longer segment is never merged.
        assert_eq!(drained.segments(), [3, 1, 1]);
        assert_eq!(drained.all_packets(), input);
    }
}

#[test]
fn control_flags_close_the_frame() {
    for flags in [tcp::FIN, 0x02, 0x04, 0x20, tcp::CWR] {
        let segments = with_second(Build::tcp4(), |p| p.tcp_flags |= flags);
        assert_eq!(segments, [1, 1, 1], "flags {flags:02x}");
    }
    assert_eq!(with_second(Build::tcp4(), |p| p.tcp_flags = 0), [1, 1, 1]);
    assert_eq!(with_second(Build::tcp4(), |p| p.tcp_flags |= tcp::ECE), [1, 1, 1]);
    assert_eq!(with_second(Build::tcp4().flags(tcp::ACK | tcp::ECE), |_| ()), [3]);
}

#[test]
fn a_pure_ack_is_not_overtaken() {
    let data = run(&Build::tcp6(), 100, 3);
    let ack = data[1].next().payload(0);
    let after = ack.next().with(|p| p.payload = data[2].payload.clone());
    let input = bytes(&[data[0].clone(), data[1].clone(), ack, after.clone(), after.next()]);
    let drained = coalesced(&input);
    assert_eq!(drained.segments(), [2, 1, 2]);
    assert_eq!(drained.all_packets(), input);
}

#[test]
fn interleaved_flows_extend_their_newest_frames() {
    let flow = |port| {
        let mut packets = run(&Build::tcp4().with(|p| p.ports.0 = port), 100, 6);
        packets.remove(2);
        packets
    };
    let [a, b] = [flow(1), flow(2)];
    let input: Vec<_> = a.iter().zip(&b).flat_map(|(a, b)| [a.bytes(), b.bytes()]).collect();
    assert_eq!(coalesced(&input).segments(), [2, 2, 3, 3]);
}

#[test]
fn a_gap_or_a_step_back_opens_a_new_frame() {
    let packets = run(&Build::tcp6(), 100, 6);
    for (order, expected) in [
        (vec![0, 1, 3, 4], vec![2, 2]),
        (vec![0, 1, 1, 2], vec![2, 2]),
        (vec![0, 2, 1, 3], vec![1, 1, 1, 1]),
        (vec![3, 4, 5, 0, 1, 2], vec![3, 3]),
    ] {
        let input: Vec<_> = order.iter().map(|&i: &usize| packets[i].bytes()).collect();
        let drained = coalesced(&input);
        assert_eq!(drained.segments(), expected, "{order:?}");
        assert_eq!(drained.all_packets(), input);
    }
}

#[test]
fn headers_that_differ_do_not_merge() {
    type Change = (&'static str, fn(&mut Build));
    let changes: [Change; 8] = [
        ("ttl", |p| p.ttl = 63),
        ("ecn", |p| p.ds = 1),
        ("dscp", |p| p.ds = 4),
        ("acknowledgement", |p| p.acknowledgement += 1),
        ("window", |p| p.window += 1),
        ("tcp options", |p| p.tcp_options = vec![1; 4]),
        ("ip options or flow label", |p| {
            p.ip_options = vec![1; 4];
            p.flow_label += 1;
        }),
        ("reserved bit or hop limit", |p| {
            p.fragment |= 0x8000;
            p.ttl = 65;
        }),
    ];
    for (name, change) in changes {
        assert_eq!(with_second(Build::tcp4(), change), [1, 1, 1], "{name}");
        assert_eq!(with_second(Build::tcp6(), change), [1, 1, 1], "{name}");
    }
}

#[test]
fn packets_merge_only_with_equal_options() {
    let timestamp = |value| vec![1, 1, 8, 10, 0, 0, 0, value, 0, 0, 0, 9];
    let build = Build::tcp4().with(|p| p.tcp_options = timestamp(1));
    assert_eq!(with_second(build.clone(), |_| ()), [3]);
    assert_eq!(with_second(build, |p| p.tcp_options = timestamp(2)), [1, 1, 1]);
}

#[test]
fn a_wrong_checksum_closes_the_frame_and_stays_wrong() {
    for build in [Build::tcp4(), Build::tcp6(), Build::udp4(), Build::udp6()] {
        let packets = run(&build, 100, 5);
        for (damaged, expected) in
            [(0, vec![1, 4]), (1, vec![1, 1, 3]), (2, vec![2, 1, 2]), (4, vec![4, 1])]
        {
            let mut input = bytes(&packets);
            let last = input[damaged].len() - 1;
            input[damaged][last] ^= 1;
            let drained = coalesced(&input);
            assert_eq!(drained.segments(), expected, "damaged: {damaged}");
            assert_eq!(drained.all_packets(), input);
        }
    }
}

#[test]
fn a_wrong_ip_checksum_closes_the_frame_and_stays_wrong() {
    let mut input = bytes(&run(&Build::tcp4(), 100, 4));
    input[2][10] ^= 1;
    let drained = coalesced(&input);
    assert_eq!(drained.segments(), [2, 1, 1]);
    assert_eq!(drained.all_packets(), input);
}

#[test]
fn identifications_without_df_must_rise_by_one() {
    let build = Build::tcp4().with(|p| p.fragment = 0);
    assert_eq!(with_second(build.clone(), |_| ()), [3]);
    assert_eq!(with_second(build.clone(), |p| p.identification -= 1), [1, 1, 1]);
    assert_eq!(with_second(build, |p| p.identification += 7), [1, 1, 1]);
}

#[test]
fn identifications_with_df_may_rise_or_stay() {
    let mut packets = run(&Build::tcp4(), 100, 4);
    for packet in &mut packets {
        packet.identification = 7;
    }
    let drained = coalesced(&bytes(&packets));
    assert_eq!(drained.segments(), [4]);
    packets[2].identification = 8;
    assert_eq!(coalesced(&bytes(&packets)).segments(), [2, 1, 1]);
    let mut rising = run(&Build::tcp4().with(|p| p.identification = 0xFFFE), 100, 4);
    assert_eq!(coalesced(&bytes(&rising)).segments(), [4]);
    rising[2].identification += 1;
    assert_eq!(coalesced(&bytes(&rising)).segments(), [2, 2]);
}

#[test]
fn a_fragment_closes_every_frame_between_its_addresses() {
    let tcp = run(&Build::tcp4(), 100, 2);
    let udp = run(&Build::udp4(), 100, 2);
    let other = run(&Build::tcp4().with(|p| p.destination = 9), 100, 2);
    let fragment = Build::new(4, 50).with(|p| p.fragment = 1).payload(64);
    let [t, u, o] = [&tcp, &udp, &other].map(|run| [run[0].clone(), run[1].clone()]);
    let input = bytes(&[
        t[0].clone(),
        u[0].clone(),
        o[0].clone(),
        fragment,
        t[1].clone(),
        u[1].clone(),
        o[1].clone(),
    ]);
    let drained = coalesced(&input);
    assert_eq!(drained.segments(), [1, 1, 2, 1, 1, 1]);
    let mut expected = input;
    let moved = expected.remove(6);
    expected.insert(3, moved);
    assert_eq!(drained.all_packets(), expected);
}

#[test]
fn a_new_drain_has_no_flows_and_no_fences() {
    let mut coalesce = Coalesce::new(ALL, 1);
    let packets = run(&Build::tcp6(), 100, 4);
    let fragment = Build::tcp6().with(|p| p.extensions = vec![(44, vec![0; 8])]).payload(8);
    let first = drain(&mut coalesce, &bytes(&[packets[0].clone(), fragment]));
    assert_eq!(first.segments(), [1, 1]);
    let second = drain(&mut coalesce, &bytes(&packets[1..]));
    assert_eq!(second.segments(), [3]);
}

#[test]
fn packets_with_extension_headers_never_merge() {
    let build = Build::tcp6().with(|p| p.extensions = vec![(60, vec![0, 0, 1, 4, 0, 0, 0, 0])]);
    assert_eq!(with_second(build, |_| ()), [1, 1, 1]);
}

#[test]
fn udp_needs_a_checksum_and_its_exact_length_to_merge() {
    let packets = run(&Build::udp4(), 100, 3);
    let mut input = bytes(&packets);
    input[1][26..28].fill(0);
    let drained = coalesced(&input);
    assert_eq!(drained.segments(), [1, 1, 1]);
    assert_eq!(drained.all_packets(), input);
    let mut input = bytes(&packets);
    input[1][25] -= 1;
    assert_eq!(coalesced(&input).segments(), [1, 1, 1]);
}

#[test]
fn a_udp_frame_has_64_segments_at_most_a_tcp_frame_256() {
    let udp = coalesced(&bytes(&run(&Build::udp6(), 10, 130)));
    assert_eq!(udp.segments(), [64, 64, 2]);
    let tcp = coalesced(&bytes(&run(&Build::tcp4(), 10, 300)));
    assert_eq!(tcp.segments(), [256, 44]);
}

#[test]
fn a_frame_has_65_535_bytes_at_most() {
    for (build, header_length) in [(Build::tcp4(), 40), (Build::udp6(), 48)] {
        let input = bytes(&run(&build, 1448, 50));
        let drained = coalesced(&input);
        let full = (65_535 - header_length) / 1448;
        assert_eq!(drained.segments(), [full as u16, 50 - full as u16]);
        assert_eq!(drained.all_packets(), input);
    }
}

#[test]
fn protocols_that_are_off_do_not_merge() {
    for (build, options) in [
        (Build::tcp4(), CoalesceOptions { tcp4: false, ..ALL }),
        (Build::tcp6(), CoalesceOptions { tcp6: false, ..ALL }),
        (Build::udp4(), CoalesceOptions { udp: false, ..ALL }),
        (Build::udp6(), CoalesceOptions { udp: false, ..ALL }),
    ] {
        let mut coalesce = Coalesce::new(options, 1);
        let input = bytes(&run(&build, 100, 3));
        assert_eq!(drain(&mut coalesce, &input).segments(), [1, 1, 1]);
        coalesce.set_options(ALL);
        assert_eq!(drain(&mut coalesce, &input).segments(), [3]);
    }
}

#[test]
fn other_protocols_close_no_frame() {
    let data = run(&Build::tcp4(), 100, 2);
    let ping = Build::new(4, 1).payload(64);
    let drained = coalesced(&bytes(&[data[0].clone(), ping.clone(), ping, data[1].clone()]));
    assert_eq!(drained.segments(), [2, 1, 1]);
}

#[test]
fn more_flows_than_the_table_holds_stay_in_order() {
    let flow = |port| run(&Build::udp4().with(|p| p.ports.0 = port), 20, 3);
    let flows: Vec<_> = (0..5000).map(flow).collect();
    let input: Vec<_> = (0..3).flat_map(|i| flows.iter().map(move |f| f[i].bytes())).collect();
    let drained = coalesced(&input);
    let merged = drained.segments().iter().filter(|&&n| n == 3).count();
    assert!((900..=1024).contains(&merged), "{merged}");
    let mut seen: std::collections::HashMap<Vec<u8>, u16> = Default::default();
    for packet in drained.all_packets() {
        assert!(checksums_are_right(&packet));
        let next = seen.entry(packet[20..22].to_vec()).or_insert(1000);
        assert_eq!(u16::from_be_bytes([packet[4], packet[5]]), *next);
        *next += 1;
    }
    assert!(seen.len() == 5000 && seen.values().all(|&next| next == 1003));
}
