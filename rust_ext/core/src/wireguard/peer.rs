//! A peer's identity, and what control and the two paths share about it: times and counts, written once a batch.

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

/// Identifies a peer within its tunnel; never reused for another peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u32);

/// A path's state by peer. Not an array: ids only grow, and peers come and go.
pub(crate) type ByPeer<T> = HashMap<PeerId, T, BuildHasherDefault<IndexHasher>>;

/// When a peer last sent and received, for the timers of whitepaper §6, and how much.
///
/// The paths write it once a batch. Control reads it when a timer fires and works out whether the timer is
/// really due. Times are boot nanoseconds; 0 means "not since it was cleared".
#[derive(Debug, Default)]
pub struct Activity {
    /// The first data message sent after the last authenticated message was received.
    unanswered_since: AtomicU64,
    /// The first data message received after the last authenticated message was sent.
    unacknowledged_since: AtomicU64,
    last_sent: AtomicU64,
    last_received: AtomicU64,
    /// When control checks this peer's timers next; `NEVER` if it does not.
    next_check: AtomicU64,
    /// Outer bytes (WireGuard messages of every type) sent to the peer.
    sent_bytes: AtomicU64,
    /// Outer bytes received and authenticated from the peer.
    received_bytes: AtomicU64,
    /// The outbound counts of this peer.
    pub outbound: OutboundCounts,
    /// The inbound counts of this peer.
    pub inbound: InboundCounts,
}

/// The value of a time that never comes.
pub const NEVER: u64 = u64::MAX;

impl Activity {
    /// Records authenticated messages sent at `now_ns`, with or without a packet in them. Returns whether a
    /// report is due because control's next check is later than `within_ns` from now.
    pub fn record_sent(&self, now_ns: u64, bytes: u64, has_data: bool, within_ns: u64) -> bool {
        self.sent_bytes.fetch_add(bytes, Relaxed);
        self.last_sent.store(now_ns, Relaxed);
        self.unacknowledged_since.store(0, Relaxed);
        if has_data && self.unanswered_since.load(Relaxed) == 0 {
            self.unanswered_since.store(now_ns, Relaxed);
        }
        self.is_report_due(now_ns, within_ns)
    }

    /// Records authenticated messages received at `now_ns`; returns the same as [`Activity::record_sent`].
    pub fn record_received(&self, now_ns: u64, bytes: u64, has_data: bool, within_ns: u64) -> bool {
        self.received_bytes.fetch_add(bytes, Relaxed);
        self.last_received.store(now_ns, Relaxed);
        self.unanswered_since.store(0, Relaxed);
        if has_data && self.unacknowledged_since.load(Relaxed) == 0 {
            self.unacknowledged_since.store(now_ns, Relaxed);
        }
        self.is_report_due(now_ns, within_ns)
    }

    fn is_report_due(&self, now_ns: u64, within_ns: u64) -> bool {
        // Pairs with the fence in `schedule_check`: either control sees what was just written, or this sees
        // the time that control has just set.
        fence(SeqCst);
        self.next_check.load(Relaxed) > now_ns.saturating_add(within_ns)
    }

    /// Sets the time of control's next check (or [`NEVER`]). Control must then read the times once more: what a
    /// path wrote in between, it did not report.
    pub fn schedule_check(&self, at_ns: u64) {
        self.next_check.store(at_ns, Relaxed);
        fence(SeqCst);
    }

    /// Clears the time of unanswered data, once control has acted on it.
    pub fn clear_unanswered(&self) {
        self.unanswered_since.store(0, Relaxed);
    }

    /// Clears the time of unacknowledged data, once control has acted on it.
    pub fn clear_unacknowledged(&self) {
        self.unacknowledged_since.store(0, Relaxed);
    }

    /// When data was first sent that nothing was received after.
    pub fn unanswered_since(&self) -> Option<u64> {
        Some(self.unanswered_since.load(Relaxed)).filter(|&t| t != 0)
    }

    /// When data was first received that nothing was sent after.
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
