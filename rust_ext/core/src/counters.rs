//! What is counted, so that nothing vanishes: in + created = out + Σ drops + queued (design §3.7).
//!
//! The unit is the inner segment; a frame counts as its segments. A path keeps a plain tally per
//! batch and adds it here once the batch is done.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::verdict::{DatagramDrop, InboundDrop, OutboundDrop};

/// Counts of the outbound path, in segments.
#[derive(Debug, Default)]
pub struct OutboundCounts {
    /// Read from the TUN (or routed to this peer).
    pub entered: AtomicU64,
    /// Made here: stage insertions, refusals.
    pub created: AtomicU64,
    /// Handed to the kernel in a datagram.
    pub left: AtomicU64,
    /// Waiting for a session.
    pub staged: AtomicU64,
    /// Dropped, by reason.
    pub drops: [AtomicU64; OutboundDrop::ALL.len()],
}

/// Counts of datagrams received: received = data + handshakes + cookies + keepalives + others + Σ drops.
#[derive(Debug, Default)]
pub struct DatagramCounts {
    /// All that the socket gave.
    pub received: AtomicU64,
    /// Data messages, authenticated, with a packet in them: what the inbound path gets.
    pub data: AtomicU64,
    /// Handshake initiations and responses handed to control.
    pub handshakes: AtomicU64,
    /// Cookie replies handed to control.
    pub cookies: AtomicU64,
    /// Data messages, authenticated and empty.
    pub keepalives: AtomicU64,
    /// Messages of another protocol, given to its handler.
    pub others: AtomicU64,
    /// Authenticated messages whose counter was below the highest seen: exact reordering.
    pub late: AtomicU64,
    /// Dropped, by reason.
    pub drops: [AtomicU64; DatagramDrop::ALL.len()],
}

/// Counts of the inbound path, in segments.
#[derive(Debug, Default)]
pub struct InboundCounts {
    /// Packets that came out of data messages.
    pub entered: AtomicU64,
    /// Made here: stage insertions.
    pub created: AtomicU64,
    /// Written to the TUN.
    pub left: AtomicU64,
    /// Dropped, by reason.
    pub drops: [AtomicU64; InboundDrop::ALL.len()],
}

/// Adds `n` to a counter; free where `n` is 0.
pub fn add(counter: &AtomicU64, n: u64) {
    if n != 0 {
        counter.fetch_add(n, Relaxed);
    }
}
