//! Datagrams that have arrived at a node and that its socket has not read yet.

use std::net::SocketAddr;

use pyfw_core::{inbound::udp_ingress::Received, wireguard::path::Path};

/// Limits of UDP_GRO: bytes of a UDP payload over IPv4, and segments (UDP_GRO_CNT_MAX).
const MAX_GRO_BYTES: u32 = 65_507;
const MAX_GRO_SEGMENTS: u32 = 64;

/// The receive queue of one node.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub(crate) buffer: Vec<u8>,
    pub(crate) received: Vec<Received>,
}

impl Inbox {
    /// Appends datagrams of one length. A single datagram joins the ones before it if UDP_GRO would merge
    /// them.
    pub(crate) fn push(&mut self, source: SocketAddr, ds: u8, segment_size: usize, payload: &[u8]) {
        let offset = self.buffer.len() as u32;
        let length = payload.len() as u32;
        self.buffer.extend_from_slice(payload);
        if let Some(last) = self.received.last_mut() {
            let can_merge = last.from.destination == source
                && last.ds == ds
                && last.length % last.segment_size == 0
                && segment_size == payload.len()
                && length <= last.segment_size
                && last.length + length <= MAX_GRO_BYTES
                && last.length / last.segment_size < MAX_GRO_SEGMENTS;
            if can_merge {
                last.length += length;
                return;
            }
        }
        self.received.push(Received {
            offset,
            length,
            segment_size: segment_size as u32,
            from: Path::to(source),
            ds,
            truncated: false,
            waited_ns: 0,
        });
    }

    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
        self.received.clear();
    }
}
