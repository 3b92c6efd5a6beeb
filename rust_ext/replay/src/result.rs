//! The result of a run: verdicts per flow, counts, and the first batches, points and wire events.

use std::{collections::BTreeMap, net::SocketAddr};

use pyfw_core::counters::{DatagramTally, InboundTally, OutboundTally};

use crate::{
    connections::ConnectionCounts,
    order::{FlowCounts, FlowKey},
};

/// The result of a run.
pub struct RunResult {
    /// Captured packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets whose source belongs to no node; they enter at the first one.
    pub unplaced: u64,
    /// Virtual time from the first packet to the last event.
    pub duration_ns: u64,
    /// Name and counts of each node.
    pub nodes: Vec<(String, NodeCounts)>,
    /// Verdict on each flow.
    pub flows: Vec<(FlowKey, FlowCounts)>,
    /// Counts by outer source and destination.
    pub connections: BTreeMap<(SocketAddr, SocketAddr), ConnectionCounts>,
    /// The first batches.
    pub batches: Vec<SentBatch>,
    /// The first points.
    pub points: Vec<Point>,
    /// The first wire events.
    pub wire_events: Vec<WireEvent>,
    /// Number of all wire events, by sending node and kind.
    pub wire_event_counts: BTreeMap<(usize, &'static str), u64>,
    /// Handshake messages and keepalives sent; [`ConnectionCounts`] leave them out.
    pub control_messages: u64,
    /// Whether `keep` cut off batches, points or wire events.
    pub is_truncated: bool,
}

/// Counts of one node.
#[derive(Clone, Debug, Default)]
pub struct NodeCounts {
    /// Outbound path.
    pub outbound: OutboundTally,
    /// Inbound path.
    pub inbound: InboundTally,
    /// Datagrams received.
    pub datagrams: DatagramTally,
    /// Handshakes completed.
    pub handshakes: u64,
    /// Frames written to the TUN; merged segments are one frame.
    pub frames: u64,
}

/// A batch that a node sent.
#[derive(Clone, Debug)]
pub struct SentBatch {
    /// Nanoseconds after the first packet.
    pub time_ns: u64,
    /// Index of the sending node.
    pub node: usize,
    /// Outer source.
    pub source: SocketAddr,
    /// Outer destination.
    pub destination: SocketAddr,
    /// Outer ECN field.
    pub ecn: u8,
    /// Length of every datagram except a shorter last one.
    pub segment_size: usize,
    /// Length of each datagram.
    pub lengths: Vec<usize>,
    /// Length of the inner packet in each datagram; 0 for handshakes and keepalives.
    pub inner: Vec<usize>,
    /// Length of each inner packet's payload.
    pub payload: Vec<usize>,
    /// Flow of each inner packet; -1 for handshakes and keepalives.
    pub flows: Vec<i64>,
}

/// What the wire did to one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireEvent {
    /// Nanoseconds after the first packet.
    pub time_ns: u64,
    /// Index of the sending node.
    pub node: usize,
    /// Number of the datagram among those that the node sent, from 1.
    pub number: u64,
    /// "lost", "duplicated", …
    pub kind: &'static str,
}

/// A point of the time–sequence plot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Nanoseconds after the first packet.
    pub time_ns: u64,
    /// Index of the flow.
    pub flow: usize,
    /// TCP: relative sequence number. Other protocols: number of the packet in its flow.
    pub position: u64,
    /// Payload bytes.
    pub length: u32,
    /// What the point shows.
    pub kind: PointKind,
}

/// What a [`Point`] shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PointKind {
    /// Entered a TUN.
    Sent = 0,
    /// Left a TUN in order.
    InOrder = 1,
    /// Left a TUN before a segment that was sent earlier.
    Early = 2,
    /// Left a TUN after a segment that was sent later.
    Late = 3,
    /// Left a TUN again.
    Duplicate = 4,
}
