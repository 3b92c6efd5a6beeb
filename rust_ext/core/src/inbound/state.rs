//! The state that the stages of the inbound path share: sessions, peers, counts, reports, commands to outbound.
//!
//! Segments are counted for the path and for their peer: entered + created = left + queued + Σ drops.

use std::{collections::HashMap, hash::BuildHasherDefault, sync::Arc};

use crate::{
    counters::{DatagramTally, InboundTally},
    drop_reason::InboundDrop,
    frame::Frame,
    inbound::inbound_peer::{InboundPeer, InboundPeers},
    stage_api::CountAdjustment,
    wireguard::{
        commands::{OutboundCommand, ReceiveSession, Report, SendSession},
        index_hasher::IndexHasher,
        noise::{replay_window::ReplayWindow, timers::REKEY_ON_RECEIVE_AFTER_TIME_NS},
        path::Path,
        peer::{Activity, PeerId},
    },
};

/// The shared state of the inbound path.
#[derive(Default)]
pub struct InboundState {
    /// By our own index.
    pub(crate) sessions: HashMap<u32, Box<ReceivingSession>, BuildHasherDefault<IndexHasher>>,
    pub(crate) peers: InboundPeers,
    pub(crate) tally: InboundTally,
    pub(crate) datagrams: DatagramTally,
    pub(crate) reports: Vec<Report>,
    pub(crate) outbound_commands: Vec<OutboundCommand>,
}

pub(crate) struct ReceivingSession {
    pub(crate) keys: ReceiveSession,
    pub(crate) window: ReplayWindow,
    /// Whether the initiator has proved that it has the keys.
    is_confirmed: bool,
    has_requested_rekey: bool,
}

impl InboundState {
    /// Adds a peer.
    pub fn add_peer(&mut self, id: PeerId, activity: Arc<Activity>) {
        self.peers.add(id, activity);
    }

    /// Removes a peer with all its sessions.
    pub(crate) fn remove_peer(&mut self, id: PeerId) {
        self.sessions.retain(|_, session| session.keys.peer != id);
        self.peers.remove(id);
    }

    /// Sets the path to a peer as control has it.
    pub(crate) fn set_path(&mut self, id: PeerId, path: Option<Path>) {
        if let Some(peer) = self.peers.get_mut(id) {
            peer.path = path;
        }
    }

    /// Accepts messages of this session from now on; `next` is its sending half, if we were the responder.
    pub fn install(&mut self, keys: ReceiveSession, next: Option<SendSession>) {
        let is_confirmed = next.is_none();
        if let Some(peer) = self.peers.get_mut(keys.peer) {
            // The newest session replaces an older one that is not confirmed yet.
            peer.next = next;
        }
        let session = ReceivingSession {
            keys,
            window: ReplayWindow::default(),
            is_confirmed,
            has_requested_rekey: false,
        };
        self.sessions.insert(session.keys.local_index, Box::new(session));
    }

    /// Erases the session with this index.
    pub(crate) fn erase(&mut self, local_index: u32) {
        let Some(session) = self.sessions.remove(&local_index) else { return };
        if let Some(peer) = self.peers.get_mut(session.keys.peer) {
            peer.next.take_if(|next| next.local_index == local_index);
        }
    }

    /// Counts segments that a stage created or dropped.
    pub(crate) fn count_adjustment(&mut self, adjustment: &CountAdjustment) {
        let CountAdjustment { peer, segments, created } = *adjustment;
        for tally in self.tallies(peer) {
            if created {
                tally.created += segments;
                tally.queued += segments;
            } else {
                tally.queued -= segments;
                tally.drop(InboundDrop::Stage, segments);
            }
        }
    }

    /// Counts a queued frame as written to the TUN, or as dropped.
    pub(crate) fn complete(&mut self, frame: &Frame, dropped: Option<InboundDrop>) {
        let segments = u64::from(frame.segments);
        for tally in self.tallies(PeerId(frame.peer)) {
            tally.queued -= segments;
            match dropped {
                Some(reason) => tally.drop(reason, segments),
                None => tally.left += segments,
            }
        }
    }

    fn tallies(&mut self, peer: PeerId) -> impl Iterator<Item = &mut InboundTally> {
        let of_peer = self.peers.touch(peer).map(|peer| &mut peer.tally);
        [Some(&mut self.tally), of_peer].into_iter().flatten()
    }
}

impl ReceivingSession {
    /// Notes that an authenticated message of `peer` has arrived under this session, which has this age. The first one
    /// confirms the session; a session near its end requests a new one.
    pub(crate) fn note_authenticated(
        &mut self,
        peer: &mut InboundPeer,
        age_ns: u64,
        reports: &mut Vec<Report>,
        outbound_commands: &mut Vec<OutboundCommand>,
    ) {
        let ReceiveSession { peer: id, local_index, initiator, .. } = self.keys;
        if !self.is_confirmed {
            self.is_confirmed = true;
            reports.push(Report::Confirmed(id, local_index));
            if let Some(session) = peer.next.take_if(|next| next.local_index == local_index) {
                let install = OutboundCommand::Install { peer: id, session, confirm: false };
                outbound_commands.push(install);
            }
        }
        let is_due = initiator && age_ns > REKEY_ON_RECEIVE_AFTER_TIME_NS;
        if is_due && !self.has_requested_rekey {
            self.has_requested_rekey = true;
            reports.push(Report::WantsHandshake(id));
        }
    }
}
