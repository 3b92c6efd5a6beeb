//! Assigns captured packets to nodes: a packet enters the TUN of the node that its source address belongs to.

use pyfw_core::wireguard::{
    allowed_ips::{AllowedIps, Prefix},
    peer::PeerId,
};

/// Longest-prefix match from a source address to a node.
#[derive(Default)]
pub(crate) struct SourceMap {
    prefixes: AllowedIps,
    /// The last match: IP version, address, node.
    last: Option<(u8, [u8; 16], usize)>,
    /// Packets whose source belongs to no node.
    pub(crate) unplaced: u64,
}

impl SourceMap {
    pub(crate) fn insert(&mut self, prefix: Prefix, node: usize) {
        self.prefixes.insert(prefix, PeerId(node as u32));
    }

    /// Returns the node that sends the packet; the first one if the source belongs to none.
    pub(crate) fn node_for(&mut self, packet: &[u8]) -> usize {
        let mut source = [0; 16];
        let version = match packet.first().map(|b| b >> 4) {
            Some(4) if packet.len() >= 20 => {
                source[..4].copy_from_slice(&packet[12..16]);
                4
            }
            Some(6) if packet.len() >= 40 => {
                source.copy_from_slice(&packet[8..24]);
                6
            }
            _ => 0,
        };
        if let Some((last_version, last_source, node)) = self.last {
            if (last_version, last_source) == (version, source) {
                return node;
            }
        }
        let Some(PeerId(node)) = self.prefixes.peer_for(version, &source) else {
            self.unplaced += 1;
            return 0;
        };
        self.last = Some((version, source, node as usize));
        node as usize
    }
}
