//! route: assigns each frame the peer whose allowed IPs cover its destination (cryptokey routing).
//!
//! In: frames with their addresses parsed. Out: the same frames with their peer. Drops: frames whose
//! destination no peer's allowed IPs cover. Order: frames keep their order.

use std::sync::Arc;

use crate::{
    counters::OutboundTally,
    drop_reason::OutboundDrop,
    frame::{Frame, FrameBatch},
    outbound::icmp_error::{IcmpError, IcmpErrors},
    wireguard::{
        allowed_ips::{AllowedIps, CachedLookup},
        peer::PeerId,
    },
};

/// The stage.
#[derive(Debug, Default)]
pub struct Route(CachedLookup);

impl Route {
    /// Replaces the snapshot of the allowed IPs.
    pub fn replace(&mut self, allowed_ips: Arc<AllowedIps>) {
        self.0.replace(allowed_ips);
    }

    /// Assigns each frame, whose bytes lie in `buffer`, its peer. Frames without one are counted as dropped, and
    /// their senders get an ICMP error.
    pub fn process(
        &mut self,
        batch: &mut FrameBatch,
        buffer: &[u8],
        tally: &mut OutboundTally,
        icmp_errors: &mut IcmpErrors,
    ) {
        let now_ns = batch.received_ns;
        batch.frames.retain_mut(|frame| match self.0.peer_for(frame.version, &frame.destination) {
            Some(peer) => {
                frame.peer = peer.0;
                true
            }
            None => {
                tally.entered += u64::from(frame.segments);
                tally.drop(OutboundDrop::NoRoute, u64::from(frame.segments));
                let bytes = frame.bytes(buffer);
                icmp_errors.push(frame, bytes, IcmpError::HostUnreachable, now_ns);
                false
            }
        });
    }

    /// Returns the peer that a frame's destination belongs to.
    pub fn peer_of(&mut self, frame: &Frame) -> Option<PeerId> {
        self.0.peer_for(frame.version, &frame.destination)
    }
}
