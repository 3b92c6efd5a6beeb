//! Checks the order of every flow, independently of the data path: the two share only the header parser.
//!
//! A segment is recognised by a hash of the bytes that must arrive unchanged, so all protocols are checked
//! alike. Memory is bounded per flow and in the number of flows.

mod flow;

use std::collections::HashMap;

use pyfw_core::{
    frame::{Frame, FrameBatch, flags},
    packet::{tcp, udp},
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub use self::flow::FlowCounts;
use self::flow::{Flow, Segment};
use crate::result::{Point, PointKind};

/// Most flows; later ones are counted together in the last.
const MAX_FLOWS: usize = 65_536;

/// One direction of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// Index of the node whose TUN the flow enters.
    pub node: usize,
    /// 4 or 6.
    pub version: u8,
    /// IP protocol.
    pub protocol: u8,
    /// Source address; IPv4 in the first four bytes.
    pub source: [u8; 16],
    /// Destination address, likewise.
    pub destination: [u8; 16],
    /// 0 for a protocol without ports.
    pub source_port: u16,
    /// 0 for a protocol without ports.
    pub destination_port: u16,
}

impl FlowKey {
    /// Returns the flow of a frame that enters at `node`.
    pub fn new(node: usize, frame: &Frame) -> Self {
        let Frame { version, protocol, source, destination, .. } = *frame;
        let (source_port, destination_port) = match frame.flags & flags::NO_FLOW {
            0 => (frame.source_port, frame.destination_port),
            _ => (0, 0),
        };
        Self { node, version, protocol, source, destination, source_port, destination_port }
    }
}

/// Compares what leaves the TUNs with what entered them.
#[derive(Default)]
pub struct OrderChecker {
    ids: HashMap<FlowKey, usize>,
    flows: Vec<(FlowKey, Flow)>,
    /// The flow looked up last.
    last: Option<(FlowKey, usize)>,
    points: Vec<Point>,
    keep: usize,
}

impl OrderChecker {
    /// Creates a checker that keeps at most `keep` points.
    pub fn new(keep: usize) -> Self {
        Self { keep, ..Self::default() }
    }

    /// Adds a packet that entered the TUN of `node`.
    pub fn add_sent(&mut self, node: usize, frame: &Frame, bytes: &[u8], time_ns: u64) {
        let flow = self.flow(FlowKey::new(node, frame));
        let segment = single_segment(frame, bytes);
        let position = self.flows[flow].1.add_sent(&segment);
        let kind = PointKind::Sent;
        self.add_point(Point { time_ns, flow, position, length: segment.length, kind });
    }

    /// Adds a frame from `sender` that left the receiving node's TUN.
    pub fn add_arrived(
        &mut self,
        sender: usize,
        frame: &Frame,
        batch: &FrameBatch,
        buffer: &[u8],
        time_ns: u64,
    ) {
        let flow = self.flow(FlowKey::new(sender, frame));
        if frame.slices == 0 && frame.segments <= 1 {
            let segment = single_segment(frame, frame.bytes(buffer));
            return self.add_segment(flow, segment, time_ns);
        }
        if frame.slices == 0 {
            return self.add_super_packet(flow, frame, frame.bytes(buffer), time_ns);
        }
        let slices = &batch.slices[frame.first_slice as usize..][..frame.slices as usize];
        let mut header_length = frame.header_length as usize;
        let start = slices[0].offset as usize;
        let sequence = (frame.protocol == tcp::PROTOCOL)
            .then(|| sequence_of(&buffer[start..start + header_length], frame.transport_offset));
        let mut offset = 0;
        for slice in slices {
            let bytes = &buffer[slice.offset as usize..][..slice.length as usize];
            let payload = &bytes[header_length..];
            // Only the first slice begins with the headers.
            header_length = 0;
            let sequence = sequence.map(|first| first.wrapping_add(offset));
            self.add_segment(flow, payload_segment(payload, sequence), time_ns);
            offset += payload.len() as u32;
        }
    }

    /// Adds a contiguous frame of several segments, as it comes from a stage.
    fn add_super_packet(&mut self, flow: usize, frame: &Frame, bytes: &[u8], time_ns: u64) {
        let (header, payload) = bytes.split_at(frame.header_length as usize);
        let sequence =
            (frame.protocol == tcp::PROTOCOL).then(|| sequence_of(header, frame.transport_offset));
        let size = usize::from(frame.segment_size).max(1);
        for (number, part) in payload.chunks(size).enumerate() {
            let sequence = sequence.map(|first| first.wrapping_add((number * size) as u32));
            self.add_segment(flow, payload_segment(part, sequence), time_ns);
        }
    }

    fn add_segment(&mut self, flow: usize, segment: Segment, time_ns: u64) {
        let index = (self.points.len() < self.keep).then_some(self.points.len());
        let points = &mut self.points;
        let (position, kind) = self.flows[flow]
            .1
            .add_arrived(&segment, index, |index, kind| points[index].kind = kind);
        self.add_point(Point { time_ns, flow, position, length: segment.length, kind });
    }

    fn add_point(&mut self, point: Point) {
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
            None if self.flows.len() == MAX_FLOWS => MAX_FLOWS - 1,
            None => {
                self.flows.push((key, Flow::default()));
                self.ids.insert(key, self.flows.len() - 1);
                self.flows.len() - 1
            }
        };
        self.last = Some((key, id));
        id
    }

    /// Returns the index of a flow; `None` before its first packet.
    pub fn id(&self, key: &FlowKey) -> Option<usize> {
        self.ids.get(key).copied()
    }

    /// Whether points may have been left out.
    pub fn is_full(&self) -> bool {
        self.keep != 0 && self.points.len() == self.keep
    }

    /// Returns the counts of each flow, and the points.
    pub fn finish(mut self) -> (Vec<(FlowKey, FlowCounts)>, Vec<Point>) {
        let flows =
            self.flows.iter_mut().map(|(key, flow)| (*key, flow.finish().clone())).collect();
        (flows, self.points)
    }
}

/// Returns the segment in a frame that is not a super-packet.
fn single_segment(frame: &Frame, bytes: &[u8]) -> Segment {
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
                // Without payload, sequence numbers, flags and window identify the segment.
                let length = u32::from(header[13] & 1) + u32::from(header[13] >> 1 & 1);
                let content = xxh3_64_with_seed(&header[4..16], 1);
                return Segment { content, length: 0, tcp: Some((sequence, length)) };
            }
            payload_segment(payload, Some(sequence))
        }
        _ => {
            // Everything after the IP header, and for IPv4 the fields that tell fragments apart.
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
