//! A path's view of the allowed IPs: a snapshot and the last answer.

use std::sync::Arc;

use super::AllowedIps;
use crate::wireguard::peer::PeerId;

/// A snapshot of the allowed IPs with a cache of one entry: consecutive packets of a drain mostly
/// have the same address.
#[derive(Debug, Default)]
pub struct CachedLookup {
    allowed_ips: Arc<AllowedIps>,
    last: Option<(u8, [u8; 16], Option<PeerId>)>,
}

impl CachedLookup {
    /// Replaces the snapshot and clears the cache.
    pub fn replace(&mut self, allowed_ips: Arc<AllowedIps>) {
        *self = Self { allowed_ips, last: None };
    }

    /// Returns the peer with the longest matching prefix; `version` is 4 or 6.
    pub fn peer_for(&mut self, version: u8, address: &[u8; 16]) -> Option<PeerId> {
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
