//! The inbound path's state of each peer: its path, the session that waits to be confirmed, and counts.

use std::sync::Arc;

use crate::{
    counters::InboundTally,
    wireguard::{
        commands::{OutboundCommand, Report, SendSession},
        noise::timers::KEEPALIVE_TIMEOUT_NS,
        path::Path,
        peer::{Activity, ByPeer, PeerId},
    },
};

/// All peers of the tunnel.
#[derive(Default)]
pub(crate) struct InboundPeers {
    by_id: ByPeer<InboundPeer>,
    /// Peers whose counts have changed since the last [`InboundPeers::publish`], each once.
    touched: Vec<PeerId>,
}

pub(crate) struct InboundPeer {
    /// Where its last authenticated message came from, or where control has it.
    pub(crate) path: Option<Path>,
    /// The sending half of the session that we responded to last, until its first message arrives.
    pub(crate) next: Option<SendSession>,
    pub(crate) tally: InboundTally,
    activity: Arc<Activity>,
    is_touched: bool,
    received: ReceivedInBatch,
}

/// The messages of a peer in one batch.
#[derive(Default)]
struct ReceivedInBatch {
    /// The path of its last authenticated message.
    from: Option<Path>,
    bytes: u64,
    has_data: bool,
}

impl InboundPeers {
    pub(crate) fn get_mut(&mut self, id: PeerId) -> Option<&mut InboundPeer> {
        self.by_id.get_mut(&id)
    }

    /// Returns a peer whose counts are about to change: they are published at the end of the batch.
    pub(crate) fn touch(&mut self, id: PeerId) -> Option<&mut InboundPeer> {
        let peer = self.by_id.get_mut(&id)?;
        if !peer.is_touched {
            peer.is_touched = true;
            self.touched.push(id);
        }
        Some(peer)
    }

    pub(crate) fn add(&mut self, id: PeerId, activity: Arc<Activity>) {
        let peer = InboundPeer {
            path: None,
            next: None,
            tally: InboundTally::default(),
            activity,
            is_touched: false,
            received: ReceivedInBatch::default(),
        };
        self.by_id.insert(id, peer);
    }

    pub(crate) fn remove(&mut self, id: PeerId) {
        self.by_id.remove(&id);
    }

    /// Ends a batch: writes the activity of each peer that was received from, and reports peers that moved.
    pub(crate) fn finish(
        &mut self,
        now_ns: u64,
        reports: &mut Vec<Report>,
        outbound_commands: &mut Vec<OutboundCommand>,
    ) {
        for id in &self.touched {
            let Some(peer) = self.by_id.get_mut(id) else { continue };
            let ReceivedInBatch { from, bytes, has_data } = std::mem::take(&mut peer.received);
            if from.is_some() && from != peer.path {
                peer.path = from;
                reports.extend(from.map(|path| Report::Moved(*id, path)));
                outbound_commands.push(OutboundCommand::SetPath(*id, from));
            }
            if bytes != 0
                && peer.activity.record_received(now_ns, bytes, has_data, KEEPALIVE_TIMEOUT_NS)
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
                peer.activity.inbound.publish(&peer.tally);
            }
        }
    }
}

impl InboundPeer {
    /// Notes authenticated messages, the last of which came from this path.
    pub(crate) fn note_received(&mut self, from: Path, bytes: u64, has_data: bool) {
        self.received.from = Some(from);
        self.received.bytes += bytes;
        self.received.has_data |= has_data;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_peers_leave_no_capacity_behind() {
        let mut peers = InboundPeers::default();
        for number in 0..10_000 {
            peers.add(PeerId(number), Arc::default());
            peers.remove(PeerId(number));
        }
        assert!(peers.by_id.capacity() < 64, "{}", peers.by_id.capacity());
    }
}
