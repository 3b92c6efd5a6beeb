//! What control and the paths share about one peer: times and counts, written once a batch.

use std::{
    collections::HashMap,
    hash::BuildHasherDefault,
    sync::atomic::{
        AtomicU64,
        Ordering::{Relaxed, SeqCst},
        fence,
    },
};

use crate::{
    counters::{InboundCounts, OutboundCounts},
    wireguard::index_hasher::IndexHasher,
};

/// Names a peer for as long as the tunnel lives; never given to another peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u32);

/// What a path knows of each peer. No array: numbers only grow, and peers come and go.
pub(crate) type ByPeer<T> = HashMap<PeerId, T, BuildHasherDefault<IndexHasher>>;

/// When a peer last sent and received, for the timers of WireGuard's §6, and how much.
///
/// The paths write it once a batch; control reads it when a timer is due and works out whether it
/// really is. Times are boot nanoseconds; 0 means "not since it was cleared".
#[derive(Debug, Default)]
pub struct Activity {
    /// The first data message sent after the last authenticated message was received.
    unanswered_since: AtomicU64,
    /// The first data message received after the last authenticated message was sent.
    unacknowledged_since: AtomicU64,
    last_sent: AtomicU64,
    last_received: AtomicU64,
    /// When control will look at this peer next; `NEVER` where it will not.
    looks_at: AtomicU64,
    /// Outer bytes (WireGuard messages of every type) sent to the peer.
    sent_bytes: AtomicU64,
    /// Outer bytes received and authenticated from the peer.
    received_bytes: AtomicU64,
    /// The outbound half of the conservation law, for this peer.
    pub outbound: OutboundCounts,
    /// The inbound half of the conservation law, for this peer.
    pub inbound: InboundCounts,
}

/// The value of a time that never comes.
pub const NEVER: u64 = u64::MAX;

impl Activity {
    /// Notes authenticated messages sent at `now_ns`; `data` says that one carried a packet.
    /// Returns whether control must be told (it would look later than `within_ns` from now).
    pub fn sent(&self, now_ns: u64, bytes: u64, data: bool, within_ns: u64) -> bool {
        self.sent_bytes.fetch_add(bytes, Relaxed);
        self.last_sent.store(now_ns, Relaxed);
        self.unacknowledged_since.store(0, Relaxed);
        if data && self.unanswered_since.load(Relaxed) == 0 {
            self.unanswered_since.store(now_ns, Relaxed);
        }
        self.must_tell(now_ns, within_ns)
    }

    /// Notes authenticated messages received at `now_ns`; see [`Activity::sent`].
    pub fn received(&self, now_ns: u64, bytes: u64, data: bool, within_ns: u64) -> bool {
        self.received_bytes.fetch_add(bytes, Relaxed);
        self.last_received.store(now_ns, Relaxed);
        self.unanswered_since.store(0, Relaxed);
        if data && self.unacknowledged_since.load(Relaxed) == 0 {
            self.unacknowledged_since.store(now_ns, Relaxed);
        }
        self.must_tell(now_ns, within_ns)
    }

    fn must_tell(&self, now_ns: u64, within_ns: u64) -> bool {
        // Pairs with the fence in `will_look`: either control sees what was just written, or this
        // sees the time that control has just promised.
        fence(SeqCst);
        self.looks_at.load(Relaxed) > now_ns.saturating_add(within_ns)
    }

    /// Control's promise to look at this peer at `at_ns` (or [`NEVER`]). Control then reads the times
    /// once more: what a path wrote in between, it did not report.
    pub fn will_look(&self, at_ns: u64) {
        self.looks_at.store(at_ns, Relaxed);
        fence(SeqCst);
    }

    /// Control has acted upon unanswered data: only what is sent from now on counts again.
    pub fn forget_unanswered(&self) {
        self.unanswered_since.store(0, Relaxed);
    }

    /// Control has acted upon unacknowledged data; see [`Activity::forget_unanswered`].
    pub fn forget_unacknowledged(&self) {
        self.unacknowledged_since.store(0, Relaxed);
    }

    /// When data was first sent that nothing has answered since.
    pub fn unanswered_since(&self) -> Option<u64> {
        Some(self.unanswered_since.load(Relaxed)).filter(|&t| t != 0)
    }

    /// When data was first received after which nothing was sent.
    pub fn unacknowledged_since(&self) -> Option<u64> {
        Some(self.unacknowledged_since.load(Relaxed)).filter(|&t| t != 0)
    }

    /// The time of the last authenticated message in either direction.
    pub fn last_traversal(&self) -> Option<u64> {
        Some(self.last_sent.load(Relaxed).max(self.last_received.load(Relaxed))).filter(|&t| t != 0)
    }

    /// Outer bytes (sent, received) since the peer was added.
    pub fn bytes(&self) -> (u64, u64) {
        (self.sent_bytes.load(Relaxed), self.received_bytes.load(Relaxed))
    }
}
