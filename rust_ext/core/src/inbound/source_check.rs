//! source_check: verifies that an inner packet comes from an address of its peer (cryptokey routing).
//!
//! In: a parsed packet and the peer whose session opened it. Out: whether the peer's allowed IPs cover
//! the source. Drops: nothing itself; decrypt counts `source_not_allowed`.

use std::sync::Arc;

use crate::{
    frame::Frame,
    wireguard::{
        allowed_ips::{AllowedIps, CachedLookup},
        peer::PeerId,
    },
};

/// The stage.
#[derive(Debug, Default)]
pub struct SourceCheck(CachedLookup);

impl SourceCheck {
    /// Replaces the snapshot of the allowed IPs.
    pub fn replace(&mut self, allowed_ips: Arc<AllowedIps>) {
        self.0.replace(allowed_ips);
    }

    /// Returns whether `peer` may send packets from the frame's source address.
    pub fn allows(&mut self, peer: PeerId, frame: &Frame) -> bool {
        self.0.peer_for(frame.version, &frame.source) == Some(peer)
    }
}
