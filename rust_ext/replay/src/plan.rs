//! What is to be replayed, and what came of it: plain data on both sides of a run.

use std::{net::SocketAddr, sync::Arc};

use pyfw_core::{
    counters::{DatagramTally, InboundTally, OutboundTally},
    stage_api::Stages,
    wireguard::allowed_ips::Prefix,
};

/// The stages of an end.
pub type EndStages = Arc<dyn Stages>;

/// One end of the virtual wire.
#[derive(Clone)]
pub struct NodePlan {
    /// What it is called in results.
    pub name: String,
    /// Its outer address.
    pub endpoint: SocketAddr,
    /// The inner addresses that live behind it.
    pub addresses: Vec<Prefix>,
    /// What happens to the datagrams it sends.
    pub impairment: Impairment,
    /// The user's stages in it.
    pub stages: Option<EndStages>,
}

/// What a wire does to datagrams; all zero: nothing. Fractions are of 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Impairment {
    /// Datagrams lost.
    pub loss: f64,
    /// Mean length of a run of losses (a Gilbert model); 0 or 1: independent losses.
    pub loss_burst: f64,
    /// Delay of every datagram.
    pub delay_ns: u64,
    /// Further delay, uniform from 0.
    pub jitter_ns: u64,
    /// Datagrams that are held back by `reorder_ns` beyond the others.
    pub reorder: f64,
    /// See `reorder`.
    pub reorder_ns: u64,
    /// Datagrams that come twice.
    pub duplicate: f64,
    /// Datagrams with a flipped bit.
    pub corrupt: f64,
    /// ECN-capable datagrams marked CE.
    pub ce: f64,
    /// Longest outer IP packet that passes; 0: any.
    pub mtu: usize,
    /// Bits a second; 0: no limit.
    pub rate_bps: u64,
    /// How long the queue before the limit may be; longer is dropped. 0: any.
    pub queue_ns: u64,
}

/// How captured packets become frames of the TUN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frames {
    /// Each by itself.
    Captured,
    /// A flow's runs as super-packets, as a kernel with TSO and USO would have handed them over.
    Tso,
}

/// What one read of the TUN takes: all that one end sends within `window_ns` of its first packet.
#[derive(Clone, Copy, Debug)]
pub struct DrainPlan {
    /// See above.
    pub window_ns: u64,
    /// At most so many packets.
    pub frames: usize,
    /// At most so many bytes.
    pub bytes: usize,
}

/// Which batches a drain's datagrams leave in, and in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// pyfw's own list (design §3.1).
    Ordered,
    /// One bin per source, destination, ECN and exact length, longest first: before PR 8920.
    BySize,
    /// An ordered list per source, destination and ECN: PR 8920.
    ByEcn,
    /// Every datagram by itself.
    Unbatched,
}

/// Something that happens at a moment of virtual time.
#[derive(Clone, Debug)]
pub struct TimelineEvent {
    /// Nanoseconds after the first packet.
    pub at_ns: u64,
    /// Whose.
    pub end: usize,
    /// What.
    pub what: TimelineAction,
}

/// See [`TimelineEvent`].
#[derive(Clone, Debug)]
pub enum TimelineAction {
    /// The end sends from another address from now on.
    Roam(SocketAddr),
    /// The end wants new keys.
    Rekey,
    /// The wire delivers the end's last data message once more.
    Replay,
    /// The wire delivers the end's last data message with another counter.
    Forge,
}

/// A whole run.
#[derive(Clone)]
pub struct Plan {
    /// Two or more ends; the first is the hub, every other one its peer.
    pub ends: Vec<NodePlan>,
    /// The TUNs' MTU.
    pub mtu: usize,
    /// How packets become frames.
    pub frames: Frames,
    /// How frames become drains.
    pub drain: DrainPlan,
    /// How datagrams become batches.
    pub rule: Rule,
    /// Segments of a batch.
    pub max_segments: usize,
    /// What the receiving end merges.
    pub coalesce: pyfw_core::inbound::coalesce::CoalesceOptions,
    /// Whether the ends have a session before the first packet, or make one because of it.
    pub handshake_before: bool,
    /// Where all randomness comes from.
    pub seed: u64,
    /// Wall clock at the first packet.
    pub start_unix_ns: u64,
    /// What happens, in order of time.
    pub happenings: Vec<TimelineEvent>,
    /// How many batches, points and fates are kept.
    pub keep: usize,
}

/// What one end counted.
#[derive(Clone, Debug, Default)]
pub struct NodeCounts {
    /// On the way out.
    pub outbound: OutboundTally,
    /// On the way in.
    pub inbound: InboundTally,
    /// Datagrams received.
    pub datagrams: DatagramTally,
    /// Handshakes completed.
    pub handshakes: u64,
    /// Frames written to the TUN; what was merged is one.
    pub frames: u64,
}

/// A batch that an end sent.
#[derive(Clone, Debug)]
pub struct SentBatch {
    /// Nanoseconds after the first packet.
    pub time_ns: u64,
    /// Who sent it.
    pub end: usize,
    /// From where.
    pub source: SocketAddr,
    /// To where.
    pub destination: SocketAddr,
    /// The outer ECN.
    pub ecn: u8,
    /// Length of every datagram but a shorter last one.
    pub segment_size: usize,
    /// Length of each datagram.
    pub lengths: Vec<usize>,
    /// Length of the packet in each; 0 for handshakes and keepalives.
    pub inner: Vec<usize>,
    /// Bytes behind the packet's headers.
    pub payload: Vec<usize>,
    /// The flow of the packet in each; -1 for handshakes and keepalives.
    pub flows: Vec<i64>,
}

/// What the wire did to one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// Nanoseconds after the first packet.
    pub time_ns: u64,
    /// Who sent it.
    pub end: usize,
    /// Its number among those the end sent, from 1.
    pub number: u64,
    /// What happened.
    pub what: &'static str,
}

/// A mark of the time–sequence plot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Nanoseconds after the first packet.
    pub time_ns: u64,
    /// Which flow.
    pub flow: usize,
    /// TCP: relative sequence number; else the packet's number in its flow.
    pub position: u64,
    /// Payload bytes.
    pub length: u32,
    /// What it shows.
    pub mark: Mark,
}

/// See [`Point`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mark {
    /// Entered a TUN.
    Sent = 0,
    /// Left a TUN in its place.
    InOrder = 1,
    /// Left a TUN before one that was sent earlier.
    Early = 2,
    /// Left a TUN after one that was sent later.
    Late = 3,
    /// Left a TUN a second time.
    Duplicate = 4,
}
