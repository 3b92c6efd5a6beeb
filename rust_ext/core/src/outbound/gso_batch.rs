//! One GSO batch: a run of datagrams of one length, closed by at most one shorter one; one send.
//!
//! In: datagrams of one target, through a reservation. Out: one contiguous payload with its segment
//! size. Order: a datagram is only ever put behind the last one.

use std::net::SocketAddr;

use crate::{
    aead::Slot,
    wireguard::{path::Path, peer::PeerId},
};

/// What all datagrams of a batch have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The peer, for whom it is counted and with whose key it is sealed.
    pub peer: PeerId,
    /// Where it goes, and from where.
    pub path: Path,
    /// The outer DS byte: DSCP and ECN.
    pub ds: u8,
}

/// Bytes of UDP payload one send may carry: 65,535 less the UDP header, and on IPv4 less the IP
/// header, which its total length includes (RFC 791, RFC 8200 §3).
pub fn send_limit(destination: &SocketAddr) -> usize {
    match destination {
        SocketAddr::V4(_) => 65_507,
        SocketAddr::V6(_) => 65_527,
    }
}

/// A batch in the list of [`crate::outbound::gso_egress::GsoEgress`].
#[derive(Debug)]
pub struct GsoBatch {
    pub(crate) target: Target,
    /// Length of the first datagram, hence of all but a shorter last one.
    pub(crate) segment_size: usize,
    /// Bytes in the buffer.
    pub(crate) length: usize,
    /// A shorter datagram has joined: nothing may follow it.
    pub(crate) closed: bool,
    /// Which buffer of the pool holds it.
    pub(crate) buffer: usize,
    /// The text of each datagram, for sealing and counting.
    pub(crate) slots: Vec<Slot>,
    /// How many slots are sealed.
    pub(crate) sealed: usize,
    /// How many datagrams the kernel has taken (or refused) already.
    pub(crate) consumed: usize,
}

impl GsoBatch {
    /// What its datagrams have in common.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Length of every datagram but a shorter last one.
    pub fn segment_size(&self) -> usize {
        self.segment_size
    }

    /// Datagrams in the batch, those already sent included.
    pub fn datagrams(&self) -> usize {
        self.slots.len()
    }

    /// The length of each datagram that is still to be sent, in order.
    pub fn lengths(&self) -> impl Iterator<Item = usize> + '_ {
        let whole = self.segment_size;
        (self.consumed..self.slots.len()).map(move |i| whole.min(self.length - i * whole))
    }

    /// Whether one more datagram as long as the first may be put behind the last one.
    pub(crate) fn has_room(&self, max_segments: usize) -> bool {
        self.takes(&self.target, self.segment_size, max_segments)
    }

    /// Whether a datagram of `length` bytes for `target` may be put behind the last one, where a
    /// send carries at most `max_segments`.
    pub(crate) fn takes(&self, target: &Target, length: usize, max_segments: usize) -> bool {
        self.consumed == 0
            && !self.closed
            && self.target == *target
            && length <= self.segment_size
            && self.slots.len() < max_segments
            && self.length + length <= send_limit(&target.path.destination)
    }
}
