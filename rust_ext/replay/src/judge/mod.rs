//! The verdict on order: an independent model beside the data path, which it shares nothing with
//! but the parsing of headers.
//!
//! In: packets as they entered a TUN, frames as they left the other. Out: counts of each flow, and
//! marks for a plot. A segment is known again by the hash of what must arrive unchanged, so that
//! all protocols are judged alike. Memory: bounded per flow and in the number of flows.

mod flow;

use std::collections::HashMap;

use pyfw_core::{
    frame::{Frame, FrameBatch, flags},
    packet::{tcp, udp},
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub use self::flow::FlowCounts;
use self::flow::{Flow, Segment};
use crate::plan::{Mark, Point};

/// Flows that are told apart; those that come later are judged together as one.
const FLOWS: usize = 65_536;

/// Who talks to whom, in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// The end whose TUN it entered.
    pub end: usize,
    /// 4 or 6.
    pub version: u8,
    /// IP protocol.
    pub protocol: u8,
    /// IPv4 in the first four bytes.
    pub source: [u8; 16],
    /// Likewise.
    pub destination: [u8; 16],
    /// 0 where there is none.
    pub source_port: u16,
    /// 0 where there is none.
    pub destination_port: u16,
}

impl FlowKey {
    /// The key of a frame that entered at `end`.
    pub fn of(end: usize, frame: &Frame) -> Self {
        let Frame { version, protocol, source, destination, .. } = *frame;
        let (source_port, destination_port) = match frame.flags & flags::NO_FLOW {
            0 => (frame.source_port, frame.destination_port),
            _ => (0, 0),
        };
        Self { end, version, protocol, source, destination, source_port, destination_port }
    }
}

/// All flows of a run.
#[derive(Default)]
pub struct Judge {
    ids: HashMap<FlowKey, usize>,
    flows: Vec<(FlowKey, Flow)>,
    last: Option<(FlowKey, usize)>,
    points: Vec<Point>,
    keep: usize,
}

impl Judge {
    /// A judge that keeps at most `keep` marks.
    pub fn new(keep: usize) -> Self {
        Self { keep, ..Self::default() }
    }

    /// Notes a packet that entered `end`'s TUN.
    pub fn sent(&mut self, end: usize, frame: &Frame, bytes: &[u8], time_ns: u64) {
        let flow = self.flow(FlowKey::of(end, frame));
        let segment = single(frame, bytes);
        let position = self.flows[flow].1.sent(&segment);
        self.mark(Point { time_ns, flow, position, length: segment.length, mark: Mark::Sent });
    }

    /// Judges a frame that left the TUN at the other side of `from`.
    pub fn arrived(
        &mut self,
        from: usize,
        frame: &Frame,
        batch: &FrameBatch,
        buffer: &[u8],
        time_ns: u64,
    ) {
        let flow = self.flow(FlowKey::of(from, frame));
        if frame.slices == 0 && frame.segments <= 1 {
            return self.segment(flow, single(frame, frame.bytes(buffer)), time_ns);
        }
        if frame.slices == 0 {
            return self.super_packet(flow, frame, frame.bytes(buffer), time_ns);
        }
        let slices = &batch.slices[frame.first_slice as usize..][..frame.slices as usize];
        let mut skip = frame.header_length as usize;
        let start = slices[0].offset as usize;
        let sequence = (frame.protocol == tcp::PROTOCOL)
            .then(|| sequence_of(&buffer[start..start + skip], frame.transport_offset));
        let mut before = 0;
        for slice in slices {
            let payload = &buffer[slice.offset as usize..][..slice.length as usize][skip..];
            skip = 0;
            let at = sequence.map(|s| s.wrapping_add(before));
            self.segment(flow, payload_segment(payload, at), time_ns);
            before += payload.len() as u32;
        }
    }

    /// A frame of several segments in one piece: a stage had it in its hands.
    fn super_packet(&mut self, flow: usize, frame: &Frame, bytes: &[u8], time_ns: u64) {
        let (header, payload) = bytes.split_at(frame.header_length as usize);
        let sequence =
            (frame.protocol == tcp::PROTOCOL).then(|| sequence_of(header, frame.transport_offset));
        let size = usize::from(frame.segment_size).max(1);
        for (number, part) in payload.chunks(size).enumerate() {
            let at = sequence.map(|s| s.wrapping_add((number * size) as u32));
            self.segment(flow, payload_segment(part, at), time_ns);
        }
    }

    fn segment(&mut self, flow: usize, segment: Segment, time_ns: u64) {
        let place = (self.points.len() < self.keep).then_some(self.points.len());
        let points = &mut self.points;
        let verdict =
            self.flows[flow].1.arrived(&segment, place, |at, mark| points[at].mark = mark);
        let (position, length) = (verdict.position, segment.length);
        self.mark(Point { time_ns, flow, position, length, mark: verdict.mark });
    }

    fn mark(&mut self, point: Point) {
        if self.points.len() < self.keep {
            self.points.push(point);
        }
    }

    fn flow(&mut self, key: FlowKey) -> usize {
        if let Some((_, id)) = self.last.filter(|(last, _)| *last == key) {
            return id;
        }
        let id = match self.ids.get(&key) {
            Some(&id) => id,
            None if self.flows.len() == FLOWS => FLOWS - 1,
            None => {
                self.flows.push((key, Flow::default()));
                self.ids.insert(key, self.flows.len() - 1);
                self.flows.len() - 1
            }
        };
        self.last = Some((key, id));
        id
    }

    /// The number of a flow that is known.
    pub fn id(&self, key: &FlowKey) -> Option<usize> {
        self.ids.get(key).copied()
    }

    /// Whether marks were left out.
    pub fn is_full(&self) -> bool {
        self.keep != 0 && self.points.len() == self.keep
    }

    /// The verdict: each flow with its counts, and the marks.
    pub fn finish(mut self) -> (Vec<(FlowKey, FlowCounts)>, Vec<Point>) {
        let flows =
            self.flows.iter_mut().map(|(key, flow)| (*key, flow.finish().clone())).collect();
        (flows, self.points)
    }
}

/// A packet that is one segment.
fn single(frame: &Frame, bytes: &[u8]) -> Segment {
    let transport = usize::from(frame.transport_offset);
    let has_ports =
        frame.flags & flags::NO_FLOW == 0 && frame.header_length > frame.transport_offset;
    let payload = bytes.get(frame.header_length as usize..).unwrap_or(&[]);
    match frame.protocol {
        udp::PROTOCOL if has_ports => payload_segment(payload, None),
        tcp::PROTOCOL if has_ports => {
            let header = &bytes[transport..frame.header_length as usize];
            let sequence = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
            if payload.is_empty() {
                // Known by its numbers, flags and window: nothing else is in it.
                let takes = u32::from(header[13] & 1) + u32::from(header[13] >> 1 & 1);
                let content = xxh3_64_with_seed(&header[4..16], 1);
                return Segment { content, length: 0, tcp: Some((sequence, takes)) };
            }
            payload_segment(payload, Some(sequence))
        }
        _ => {
            // All behind the IP header; for fragments with what tells them apart.
            let start = if frame.version == 4 { usize::from(bytes[0] & 15) * 4 } else { 40 };
            let body = bytes.get(start..).unwrap_or(&[]);
            let seed = match frame.version {
                4 => u64::from(u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]])),
                _ => 2,
            };
            let content = xxh3_64_with_seed(body, seed);
            Segment { content, length: body.len() as u32, tcp: None }
        }
    }
}

fn payload_segment(payload: &[u8], sequence: Option<u32>) -> Segment {
    let length = payload.len() as u32;
    let seed = sequence.map_or(0, |s| u64::from(s) << 1 | 1);
    let content = xxh3_64_with_seed(payload, seed);
    Segment { content, length, tcp: sequence.map(|s| (s, length)) }
}

fn sequence_of(header: &[u8], transport_offset: u16) -> u32 {
    let at = usize::from(transport_offset) + 4;
    u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}
