//! A GSO batch: datagrams of one length for one target, the last of which may be shorter, in one buffer.
//! One send (UDP_SEGMENT) takes them all.

use std::net::SocketAddr;

use crate::{
    aead::Slot,
    wireguard::{path::Path, peer::PeerId},
};

/// The common properties of all datagrams of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The peer that the datagrams are counted for and whose key seals them.
    pub peer: PeerId,
    /// Destination and source.
    pub path: Path,
    /// The outer DS byte: DSCP and ECN.
    pub ds: u8,
}

/// Returns the longest UDP payload of one send: 65,535 bytes less the UDP header, and on IPv4 less the IP
/// header, which the total length includes (RFC 791, RFC 8200 §3).
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
    /// Length of each datagram but a shorter last one.
    pub(crate) segment_size: usize,
    /// Length of all datagrams together.
    pub(crate) length: usize,
    /// Nothing may be appended any more.
    pub(crate) closed: bool,
    /// Index of its buffer in the pool.
    pub(crate) buffer: usize,
    /// The text of each datagram, to seal and to count.
    pub(crate) slots: Vec<Slot>,
    /// How many slots are sealed.
    pub(crate) sealed: usize,
    /// How many datagrams were sent or dropped.
    pub(crate) completed: usize,
}

impl GsoBatch {
    /// The common properties of its datagrams.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Length of each datagram but a shorter last one.
    pub fn segment_size(&self) -> usize {
        self.segment_size
    }

    /// Number of datagrams, those already completed included.
    pub fn datagrams(&self) -> usize {
        self.slots.len()
    }

    /// The length of each datagram that is not completed yet, in order.
    pub fn lengths(&self) -> impl Iterator<Item = usize> + '_ {
        let size = self.segment_size;
        (self.completed..self.slots.len()).map(move |i| size.min(self.length - i * size))
    }

    /// Whether one more datagram as long as the first may be appended.
    pub(crate) fn has_room(&self, max_segments: usize) -> bool {
        self.accepts(&self.target, self.segment_size, max_segments)
    }

    /// Whether a datagram of `length` bytes for `target` may be appended if a send carries at most
    /// `max_segments`.
    pub(crate) fn accepts(&self, target: &Target, length: usize, max_segments: usize) -> bool {
        self.completed == 0
            && !self.closed
            && self.target == *target
            && length <= self.segment_size
            && self.slots.len() < max_segments
            && self.length + length <= send_limit(&target.path.destination)
    }
}
