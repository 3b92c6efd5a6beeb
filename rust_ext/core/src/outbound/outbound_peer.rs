//! The outbound path's state of each peer: the path to it, its session, staged frames and counts.

use std::sync::Arc;

use crate::{
    aead::{TAG_LENGTH, TransportKey},
    counters::OutboundTally,
    frame::Frame,
    outbound::staged::Staged,
    packet::message_header::DATA_HEADER_LENGTH,
    time::SECOND_NS,
    wireguard::{
        commands::{Report, SendSession},
        noise::timers::{
            KEEPALIVE_TIMEOUT_NS, REJECT_AFTER_MESSAGES, REJECT_AFTER_TIME_NS,
            REKEY_AFTER_MESSAGES, REKEY_AFTER_TIME_NS, REKEY_TIMEOUT_NS,
        },
        path::Path,
        peer::{Activity, ByPeer, PeerId},
    },
};

/// All peers of the tunnel.
#[derive(Default)]
pub(crate) struct OutboundPeers {
    by_id: ByPeer<OutboundPeer>,
    /// Peers whose counts have changed since the last [`OutboundPeers::publish`], each once.
    touched: Vec<PeerId>,
}

pub(crate) struct OutboundPeer {
    pub(crate) path: Option<Path>,
    /// The longest inner packet whose datagram fits into one packet of the path, and when that was learnt.
    path_mtu: Option<(usize, u64)>,
    pub(crate) session: Option<SendingSession>,
    pub(crate) staged: Staged,
    pub(crate) tally: OutboundTally,
    activity: Arc<Activity>,
    /// When a handshake was last requested, so that not every batch requests one.
    handshake_requested_ns: Option<u64>,
    is_touched: bool,
    /// Sent since the last [`OutboundPeers::finish`].
    sent_bytes: u64,
    has_sent_data: bool,
}

/// The keys in use, and the next counter.
pub(crate) struct SendingSession {
    keys: SendSession,
    next_counter: u64,
}

impl OutboundPeers {
    pub(crate) fn get(&self, id: PeerId) -> Option<&OutboundPeer> {
        self.by_id.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: PeerId) -> Option<&mut OutboundPeer> {
        self.by_id.get_mut(&id)
    }

    /// Returns a peer whose counts are about to change: they are published at the end of the batch.
    pub(crate) fn touch(&mut self, id: PeerId) -> Option<&mut OutboundPeer> {
        let peer = self.by_id.get_mut(&id)?;
        if !peer.is_touched {
            peer.is_touched = true;
            self.touched.push(id);
        }
        Some(peer)
    }

    pub(crate) fn add(&mut self, id: PeerId, activity: Arc<Activity>) {
        let peer = OutboundPeer {
            path: None,
            path_mtu: None,
            session: None,
            staged: Staged::default(),
            tally: OutboundTally::default(),
            activity,
            handshake_requested_ns: None,
            is_touched: false,
            sent_bytes: 0,
            has_sent_data: false,
        };
        self.by_id.insert(id, peer);
    }

    pub(crate) fn remove(&mut self, id: PeerId) {
        if let Some(peer) = self.by_id.remove(&id) {
            peer.activity.outbound.publish(&peer.tally);
        }
    }

    pub(crate) fn key(&self, id: PeerId) -> Option<&TransportKey> {
        self.get(id)?.session.as_ref().map(|session| &session.keys.key)
    }

    /// Counts a frame that a stage created and that has just been routed to its peer.
    pub(crate) fn count_created(&mut self, frame: &Frame) {
        if let Some(peer) = self.touch(PeerId(frame.peer)) {
            peer.tally.created += u64::from(frame.segments);
            peer.tally.queued += u64::from(frame.segments);
        }
    }

    /// Ends a batch: writes the activity of each peer that was sent to.
    pub(crate) fn finish(&mut self, now_ns: u64, reports: &mut Vec<Report>) {
        for id in &self.touched {
            let Some(peer) = self.by_id.get_mut(id) else { continue };
            let bytes = std::mem::take(&mut peer.sent_bytes);
            let has_data = std::mem::take(&mut peer.has_sent_data);
            if bytes != 0
                && peer.activity.record_sent(now_ns, bytes, has_data, KEEPALIVE_TIMEOUT_NS)
            {
                reports.push(Report::Active(*id));
            }
        }
    }

    /// Publishes the counts of the touched peers.
    pub(crate) fn publish(&mut self) {
        for id in self.touched.drain(..) {
            if let Some(peer) = self.by_id.get_mut(&id) {
                peer.is_touched = false;
                peer.activity.outbound.publish(&peer.tally);
            }
        }
    }
}

impl OutboundPeer {
    pub(crate) fn install(&mut self, keys: SendSession) {
        self.session = Some(SendingSession { keys, next_counter: 0 });
        self.handshake_requested_ns = None;
    }

    pub(crate) fn erase(&mut self) {
        self.session = None;
        self.forget_request();
    }

    /// Lets the next frame request a handshake at once: earlier requests were dealt with.
    pub(crate) fn forget_request(&mut self) {
        self.handshake_requested_ns = None;
    }

    /// Reports that the peer needs a handshake. Within Rekey-Timeout of the last report control would
    /// not start another, so none is made.
    pub(crate) fn request_handshake(&mut self, id: PeerId, now_ns: u64, reports: &mut Vec<Report>) {
        let last_ns = self.handshake_requested_ns;
        if last_ns.is_none_or(|at_ns| now_ns.saturating_sub(at_ns) >= REKEY_TIMEOUT_NS) {
            self.handshake_requested_ns = Some(now_ns);
            reports.push(Report::WantsHandshake(id));
        }
    }

    /// Sets the path. Another destination has another path MTU, which is not known.
    pub(crate) fn set_path(&mut self, path: Option<Path>) {
        let destination = |path: Option<Path>| path.map(|path| path.destination);
        if destination(self.path) != destination(path) {
            self.path_mtu = None;
        }
        self.path = path;
    }

    /// Sets the longest datagram that fits into one packet of the path; `None` if that is not known.
    pub(crate) fn set_max_datagram_size(&mut self, size: Option<usize>, now_ns: u64) {
        let size = size.filter(|&size| size > DATAGRAM_OVERHEAD);
        self.path_mtu = size.map(|size| (size - DATAGRAM_OVERHEAD, now_ns));
    }

    /// Returns the longest inner packet that the path carries, while that is known.
    pub(crate) fn path_mtu(&self, now_ns: u64) -> Option<usize> {
        let is_fresh = |at_ns: u64| now_ns.saturating_sub(at_ns) < MAX_DATAGRAM_SIZE_TTL_NS;
        self.path_mtu.filter(|&(_, at_ns)| is_fresh(at_ns)).map(|(mtu, _)| mtu)
    }

    pub(crate) fn record_sent(&mut self, bytes: usize, is_data: bool) {
        self.sent_bytes += bytes as u64;
        self.has_sent_data |= is_data;
    }
}

impl SendingSession {
    /// The receiver index that the peer chose.
    pub(crate) fn remote_index(&self) -> u32 {
        self.keys.remote_index
    }

    /// Draws the counter of the next message.
    pub(crate) fn draw_counter(&mut self) -> u64 {
        self.next_counter += 1;
        self.next_counter - 1
    }

    /// Whether the keys may seal this many messages now.
    pub(crate) fn is_usable(&self, messages: u64, now_ns: u64) -> bool {
        now_ns.saturating_sub(self.keys.created_ns) < REJECT_AFTER_TIME_NS
            && self.next_counter.saturating_add(messages) <= REJECT_AFTER_MESSAGES
    }

    /// Whether a new session must be requested.
    pub(crate) fn needs_rekey(&self, now_ns: u64) -> bool {
        let age_ns = now_ns.saturating_sub(self.keys.created_ns);
        self.next_counter > REKEY_AFTER_MESSAGES
            || (self.keys.initiator && age_ns > REKEY_AFTER_TIME_NS)
    }
}

/// A path may come to carry more. While all packets that would show it are refused nothing learns of that,
/// so after this time one is sent again.
const MAX_DATAGRAM_SIZE_TTL_NS: u64 = 2 * SECOND_NS;

/// How much longer a datagram is than the packet in it, before padding.
const DATAGRAM_OVERHEAD: usize = DATA_HEADER_LENGTH + TAG_LENGTH;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_peers_leave_no_capacity_behind() {
        let mut peers = OutboundPeers::default();
        for number in 0..10_000 {
            peers.add(PeerId(number), Arc::default());
            peers.remove(PeerId(number));
        }
        assert!(peers.by_id.capacity() < 64, "{}", peers.by_id.capacity());
    }
}
