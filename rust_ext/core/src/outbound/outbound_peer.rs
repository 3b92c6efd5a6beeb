//! What the outbound path knows of each peer: the way there, the keys, what waits for them.
//!
//! Order: a counter is drawn once and only grows; frames wait first in, first out.

use std::sync::Arc;

use crate::{
    aead::TransportKey,
    counters::OutboundTally,
    outbound::staged::Staged,
    wireguard::{
        commands::SendSession,
        noise::timers::{
            REJECT_AFTER_MESSAGES, REJECT_AFTER_TIME_NS, REKEY_AFTER_MESSAGES, REKEY_AFTER_TIME_NS,
        },
        path::Path,
        peer::{Activity, ByPeer, PeerId},
    },
};

/// The peers, by their number.
#[derive(Default)]
pub(crate) struct OutboundPeers(ByPeer<OutboundPeer>);

/// One of them.
pub(crate) struct OutboundPeer {
    pub(crate) activity: Arc<Activity>,
    pub(crate) path: Option<Path>,
    /// The longest datagram that one packet of this path carries, and when that was known last.
    pub(crate) max_datagram_size: Option<(usize, u64)>,
    pub(crate) session: Option<SendingSession>,
    pub(crate) staged: Staged,
    /// When a handshake was last asked for, so that a batch does not ask again.
    pub(crate) asked_ns: Option<u64>,
    pub(crate) tally: OutboundTally,
    pub(crate) batch: BatchTraffic,
}

/// What one batch sent to one peer.
#[derive(Default)]
pub(crate) struct BatchTraffic {
    pub(crate) touched: bool,
    pub(crate) bytes: u64,
    pub(crate) data: bool,
}

/// The keys in use, and the next counter.
pub(crate) struct SendingSession {
    pub(crate) session: SendSession,
    pub(crate) counter: u64,
}

impl OutboundPeers {
    pub(crate) fn get(&self, id: PeerId) -> Option<&OutboundPeer> {
        self.0.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: PeerId) -> Option<&mut OutboundPeer> {
        self.0.get_mut(&id)
    }

    pub(crate) fn add(&mut self, id: PeerId, activity: Arc<Activity>) {
        let peer = OutboundPeer {
            activity,
            path: None,
            max_datagram_size: None,
            session: None,
            staged: Staged::default(),
            asked_ns: None,
            tally: OutboundTally::default(),
            batch: BatchTraffic::default(),
        };
        self.0.insert(id, peer);
    }

    pub(crate) fn remove(&mut self, id: PeerId) {
        self.0.remove(&id);
    }

    pub(crate) fn key(&self, id: PeerId) -> Option<&TransportKey> {
        self.get(id)?.session.as_ref().map(|sending| &sending.session.key)
    }
}

impl OutboundPeer {
    pub(crate) fn install(&mut self, session: SendSession) {
        self.session = Some(SendingSession { session, counter: 0 });
        self.asked_ns = None;
    }

    /// Its counts, which are published at the end of the batch.
    pub(crate) fn touched(&mut self, id: PeerId, all: &mut Vec<PeerId>) -> &mut OutboundTally {
        if !self.batch.touched {
            self.batch.touched = true;
            all.push(id);
        }
        &mut self.tally
    }
}

impl SendingSession {
    /// Whether the keys may seal so many messages now.
    pub(crate) fn usable(&self, segments: u64, now_ns: u64) -> bool {
        now_ns.saturating_sub(self.session.created_ns) < REJECT_AFTER_TIME_NS
            && self.counter.saturating_add(segments) <= REJECT_AFTER_MESSAGES
    }

    /// Whether the next ones must be asked for.
    pub(crate) fn due(&self, now_ns: u64) -> bool {
        let age_ns = now_ns.saturating_sub(self.session.created_ns);
        self.counter > REKEY_AFTER_MESSAGES
            || (self.session.initiator && age_ns > REKEY_AFTER_TIME_NS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_that_come_and_go_leave_no_room_behind() {
        let mut peers = OutboundPeers::default();
        for number in 0..10_000 {
            peers.add(PeerId(number), Arc::default());
            peers.remove(PeerId(number));
        }
        assert!(peers.0.capacity() < 64, "{}", peers.0.capacity());
    }
}
