//! The plan of a run: nodes, impairments, timeline and limits.

use std::{net::SocketAddr, sync::Arc};

use pyfw_core::{
    inbound::coalesce::CoalesceOptions, stage_api::Stages, wireguard::allowed_ips::Prefix,
};

/// A whole run.
#[derive(Clone)]
pub struct Plan {
    /// Two or more nodes: the first is the hub, every other one is its peer.
    pub nodes: Vec<NodePlan>,
    /// MTU of the nodes' TUNs.
    pub mtu: usize,
    /// How captured packets become frames.
    pub frames: Frames,
    /// Limits of one drain of a TUN.
    pub drain: DrainLimits,
    /// How datagrams become batches.
    pub rule: Rule,
    /// Most segments in one batch.
    pub max_segments: usize,
    /// What the receiving node merges.
    pub coalesce: CoalesceOptions,
    /// Whether the sessions exist before the first packet; otherwise the first packet starts the handshake.
    pub handshake_before: bool,
    /// Seed of all randomness.
    pub seed: u64,
    /// Events in order of time.
    pub timeline: Vec<TimelineEvent>,
    /// Most batches, points and wire events to keep, each.
    pub keep: usize,
}

/// One node of the virtual network.
#[derive(Clone)]
pub struct NodePlan {
    /// Name in results.
    pub name: String,
    /// Outer address.
    pub endpoint: SocketAddr,
    /// Inner networks behind the node.
    pub addresses: Vec<Prefix>,
    /// What happens to the datagrams that the node sends.
    pub impairment: Impairment,
    /// The user's stages.
    pub stages: Option<Arc<dyn Stages>>,
}

/// What the wire does to datagrams; the default is nothing. Fractions range from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Impairment {
    /// Fraction of datagrams lost.
    pub loss: f64,
    /// Mean length of a run of losses (a Gilbert model); 0 or 1: independent losses.
    pub loss_burst: f64,
    /// Delay of every datagram.
    pub delay_ns: u64,
    /// Additional random delay, uniform from 0.
    pub jitter_ns: u64,
    /// Fraction of datagrams delayed by a further `reorder_ns`.
    pub reorder: f64,
    /// Additional delay of reordered datagrams.
    pub reorder_ns: u64,
    /// Fraction of datagrams delivered twice.
    pub duplicate: f64,
    /// Fraction of datagrams with one flipped bit.
    pub corrupt: f64,
    /// Fraction of ECN-capable datagrams marked CE.
    pub ce: f64,
    /// Longest outer IP packet that passes; 0: no limit.
    pub mtu: usize,
    /// Rate limit in bits per second; 0: none.
    pub rate_bps: u64,
    /// Longest queue before the rate limit, above which datagrams are dropped; 0: no limit.
    pub queue_ns: u64,
}

/// How captured packets become frames of the TUN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frames {
    /// One frame per packet.
    Captured,
    /// Runs of one flow's segments become super-packets, as from a kernel with TSO and USO.
    Tso,
}

/// Limits of one drain of a TUN.
#[derive(Clone, Copy, Debug)]
pub struct DrainLimits {
    /// A drain takes what the node sends within this time after the drain's first packet.
    pub window_ns: u64,
    /// Most packets.
    pub frames: usize,
    /// Most bytes.
    pub bytes: usize,
}

/// Which batches a drain's datagrams form, and in which order the batches leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// pyfw's own list: only its newest batch can grow.
    Ordered,
    /// One bin per source, destination, ECN and exact length, longest first: Firezone before PR 8920.
    BySize,
    /// One ordered list per source, destination and ECN: PR 8920.
    ByEcn,
    /// One batch per datagram.
    Unbatched,
}

/// Something that happens at a point of virtual time.
#[derive(Clone, Debug)]
pub struct TimelineEvent {
    /// Nanoseconds after the first packet.
    pub at_ns: u64,
    /// Index of the node.
    pub node: usize,
    /// What happens.
    pub action: TimelineAction,
}

/// What happens at a [`TimelineEvent`].
#[derive(Clone, Debug)]
pub enum TimelineAction {
    /// The node sends from another address from now on.
    Roam(SocketAddr),
    /// The node starts new handshakes.
    Rekey,
    /// The wire delivers the node's last data message again.
    Replay,
    /// The wire delivers the node's last data message with another counter.
    Forge,
}
