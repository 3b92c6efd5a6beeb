//! route: which peer a frame goes to, and whether a peer may have sent it (cryptokey routing).
//!
//! In: frames with their addresses parsed. Out: outbound frames with their peer; inbound, a
//! verdict on the source. Drops: no peer's allowed IPs cover the destination; the source is not
//! the sender's. Order: rows keep their order.

use std::sync::Arc;

use crate::{
    counters::OutboundTally,
    drop_reason::OutboundDrop,
    frame::{Frame, FrameBatch},
    outbound::icmp_error::{IcmpError, IcmpErrors},
    wireguard::{allowed_ips::AllowedIps, peer::PeerId},
};

/// A snapshot of the allowed IPs, and the answer given last: a drain mostly asks the same again.
#[derive(Debug, Default)]
pub struct Route {
    allowed_ips: Arc<AllowedIps>,
    last: Option<(u8, [u8; 16], Option<PeerId>)>,
}

impl Route {
    /// Goes over to another snapshot.
    pub fn replace(&mut self, allowed_ips: Arc<AllowedIps>) {
        *self = Self { allowed_ips, last: None };
    }

    /// Gives each frame, whose bytes lie in `buffer`, the peer its destination belongs to; the others are
    /// dropped, counted and refused.
    pub fn outbound(
        &mut self,
        batch: &mut FrameBatch,
        buffer: &[u8],
        tally: &mut OutboundTally,
        icmp_errors: &mut IcmpErrors,
    ) {
        let now_ns = batch.received_ns;
        batch.frames.retain_mut(|frame| match self.peer_for(frame.version, &frame.destination) {
            Some(peer) => {
                frame.peer = peer.0;
                true
            }
            None => {
                tally.entered += u64::from(frame.segments);
                tally.drop(OutboundDrop::NoRoute, u64::from(frame.segments));
                let bytes = frame.bytes(buffer);
                icmp_errors.refuse(frame, bytes, IcmpError::HostUnreachable, now_ns);
                false
            }
        });
    }

    /// The peer of a frame that has none yet.
    pub fn of(&mut self, frame: &Frame) -> Option<PeerId> {
        self.peer_for(frame.version, &frame.destination)
    }

    /// Whether `peer` may send packets from the frame's source address.
    pub fn allows(&mut self, peer: PeerId, frame: &Frame) -> bool {
        self.peer_for(frame.version, &frame.source) == Some(peer)
    }

    fn peer_for(&mut self, version: u8, address: &[u8; 16]) -> Option<PeerId> {
        match self.last {
            Some((v, a, peer)) if v == version && a == *address => peer,
            _ => {
                let peer = self.allowed_ips.peer_for(version, address);
                self.last = Some((version, *address, peer));
                peer
            }
        }
    }
}
