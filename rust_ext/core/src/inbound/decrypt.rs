//! decrypt: a run of data messages becomes rows of plaintext packets.
//!
//! In: data messages of one session, in order of arrival. Out: packets opened in place, with their
//! headers parsed and their ECN merged. Drops: expired session, replayed or stale counter, wrong
//! tag; then not an IP packet, source not the peer's, CE outside on a packet that cannot carry it,
//! and what CoDel picks of a queue that stands at our socket and cannot be marked.
//! Order: rows are in order of arrival; a counter below the highest seen is counted as late.
//! Time: keys serve 180 s; an initiator's older than 165 s ask for the next (once).

use std::sync::Arc;

use crate::{
    aead::{Aead, Slot},
    codel::Codel,
    counters::{DatagramTally, InboundTally},
    drop_reason::{DatagramDrop, InboundDrop},
    frame::{Frame, FrameBatch},
    inbound::source_check::SourceCheck,
    inbound::udp_ingress::{Arrival, Received, Sessions},
    packet::{
        self,
        ip::{CE, EcnMerge, mark, merge_ecn},
    },
    stage_api::CountAdjustment,
    wireguard::{
        commands::{OutboundCommand, ReceiveSession, Report, SendSession},
        noise::{
            replay_window::{Accept, ReplayWindow},
            timers::{
                KEEPALIVE_TIMEOUT_NS, REJECT_AFTER_MESSAGES, REJECT_AFTER_TIME_NS,
                REKEY_ON_RECEIVE_AFTER_TIME_NS,
            },
        },
        path::Path,
        peer::{Activity, ByPeer, PeerId},
    },
};

/// The stage, with its sessions and what it knows of each peer.
pub struct Decrypt {
    aead: Box<dyn Aead>,
    sessions: Sessions<Box<Receiving>>,
    peers: ByPeer<ReceivingPeer>,
    touched: Vec<PeerId>,
    reports: Vec<Report>,
    outbound_commands: Vec<OutboundCommand>,
    tally: InboundTally,
    codel: Codel,
    /// Room for one run: what is worth opening, and what came of it.
    slots: Vec<Slot>,
    origins: Vec<Arrival>,
    opened: Vec<bool>,
}

struct Receiving {
    session: ReceiveSession,
    window: ReplayWindow,
    confirmed: bool,
    asked: bool,
}

struct ReceivingPeer {
    activity: Arc<Activity>,
    /// Where its last authenticated message came from, or where control knows it to be.
    path: Option<Path>,
    /// What to send with once something arrives under the session of the same index.
    next: Option<SendSession>,
    tally: InboundTally,
    batch: BatchTraffic,
}

/// What one batch brought from one peer.
#[derive(Default)]
struct BatchTraffic {
    touched: bool,
    bytes: u64,
    data: bool,
    from: Option<Path>,
}

impl ReceivingPeer {
    /// Its counts are published at the end of the drain.
    fn touch(&mut self, id: PeerId, touched: &mut Vec<PeerId>) {
        if !self.batch.touched {
            self.batch.touched = true;
            touched.push(id);
        }
    }
}

impl Decrypt {
    /// A stage that opens with `aead`.
    pub fn new(aead: Box<dyn Aead>) -> Self {
        Self {
            aead,
            sessions: Sessions::default(),
            peers: ByPeer::default(),
            touched: Vec::new(),
            reports: Vec::new(),
            outbound_commands: Vec::new(),
            tally: InboundTally::default(),
            codel: Codel::default(),
            slots: Vec::new(),
            origins: Vec::new(),
            opened: Vec::new(),
        }
    }

    /// Opens one run of messages for the session `index` and appends its packets to the batch.
    #[allow(clippy::too_many_arguments)] // one drain's whole context, called once a run
    pub fn process(
        &mut self,
        index: u32,
        arrivals: &[Arrival],
        received: &[Received],
        buffer: &mut [u8],
        batch: &mut FrameBatch,
        source_check: &mut SourceCheck,
        datagrams: &mut DatagramTally,
    ) {
        let now_ns = batch.received_ns;
        let count = arrivals.len() as u64;
        let Some(receiving) = self.sessions.get_mut(&index) else {
            return datagrams.drop(DatagramDrop::NoSession, count);
        };
        let age_ns = now_ns.saturating_sub(receiving.session.created_ns);
        if age_ns >= REJECT_AFTER_TIME_NS {
            return datagrams.drop(DatagramDrop::Expired, count);
        }
        self.slots.clear();
        self.origins.clear();
        for arrival in arrivals {
            if arrival.slot.counter >= REJECT_AFTER_MESSAGES {
                datagrams.drop(DatagramDrop::Expired, 1);
            } else if !receiving.window.check(arrival.slot.counter) {
                datagrams.drop(DatagramDrop::Replay, 1);
            } else {
                self.slots.push(arrival.slot);
                self.origins.push(*arrival);
            }
        }
        self.opened.clear();
        self.opened.resize(self.slots.len(), false);
        self.aead.open(&receiving.session.key, buffer, &self.slots, &mut self.opened);

        let id = receiving.session.peer;
        let Some(peer) = self.peers.get_mut(&id) else {
            return datagrams.drop(DatagramDrop::NoSession, self.slots.len() as u64);
        };
        let mut newest = None;
        for (arrival, opened) in self.origins.iter().zip(&self.opened) {
            if !opened {
                datagrams.drop(DatagramDrop::Forged, 1);
                continue;
            }
            match receiving.window.accept(arrival.slot.counter) {
                Accept::Replayed => {
                    datagrams.drop(DatagramDrop::Replay, 1);
                    continue;
                }
                Accept::Late => {
                    self.tally.late += 1;
                    peer.tally.late += 1;
                }
                Accept::Fresh => {}
            }
            let outer = &received[arrival.received as usize];
            newest = Some(outer);
            peer.batch.bytes += u64::from(arrival.datagram_length);
            if arrival.slot.length == 0 {
                datagrams.keepalives += 1;
                continue;
            }
            peer.batch.data = true;
            datagrams.data += 1;
            self.tally.entered += 1;
            peer.tally.entered += 1;
            // Who waited too long is told as a congested router would have told it.
            let ecn = match self.codel.signals(outer.waited_ns, now_ns) {
                true => CE,
                false => outer.ds & 0b11,
            };
            match judge(arrival, ecn, id, buffer, source_check, &mut batch.frames) {
                Ok(marked) => {
                    for tally in [&mut self.tally, &mut peer.tally] {
                        tally.queued += 1;
                        tally.marked += u64::from(marked);
                    }
                }
                Err(reason) => {
                    let waited = ecn != outer.ds & 0b11 && reason == InboundDrop::EcnNotCapable;
                    let reason = if waited { InboundDrop::Congested } else { reason };
                    self.tally.drop(reason, 1);
                    peer.tally.drop(reason, 1);
                }
            }
        }
        // Nothing was authenticated.
        let Some(newest) = newest else { return };
        peer.batch.from = Some(newest.from);
        peer.touch(id, &mut self.touched);
        if !receiving.confirmed {
            receiving.confirmed = true;
            self.reports.push(Report::Confirmed(id, index));
            if let Some(session) = peer.next.take_if(|next| next.local_index == index) {
                self.outbound_commands.push(OutboundCommand::Install {
                    peer: id,
                    session,
                    confirm: false,
                });
            }
        }
        if receiving.session.initiator
            && age_ns > REKEY_ON_RECEIVE_AFTER_TIME_NS
            && !receiving.asked
        {
            receiving.asked = true;
            self.reports.push(Report::WantsHandshake(id));
        }
    }

    /// Ends a drain: writes each touched peer's activity once, and reports who moved.
    pub fn finish(&mut self, now_ns: u64) {
        for id in &self.touched {
            let Some(peer) = self.peers.get_mut(id) else { continue };
            let BatchTraffic { bytes, data, from, .. } = std::mem::take(&mut peer.batch);
            peer.batch.touched = true;
            if from.is_some() && from != peer.path {
                peer.path = from;
                self.reports.extend(from.map(|path| Report::Moved(*id, path)));
                self.outbound_commands.push(OutboundCommand::SetPath(*id, from));
            }
            if bytes != 0 && peer.activity.received(now_ns, bytes, data, KEEPALIVE_TIMEOUT_NS) {
                self.reports.push(Report::Active(*id));
            }
        }
    }

    /// Books a frame that came through the stages: written, or refused for a reason.
    pub fn depart(&mut self, frame: &Frame, refused: Option<InboundDrop>) {
        let id = PeerId(frame.peer);
        let mut peer = self.peers.get_mut(&id);
        if let Some(peer) = &mut peer {
            peer.touch(id, &mut self.touched);
        }
        let segments = u64::from(frame.segments);
        for tally in [Some(&mut self.tally), peer.map(|p| &mut p.tally)].into_iter().flatten() {
            tally.queued -= segments;
            match refused {
                Some(reason) => tally.drop(reason, segments),
                None => tally.left += segments,
            }
        }
    }

    /// Counts what stages dropped and made.
    pub fn book(&mut self, adjustments: &[CountAdjustment]) {
        for &CountAdjustment { peer: id, segments, created } in adjustments {
            let mut peer = self.peers.get_mut(&id);
            if let Some(peer) = &mut peer {
                peer.touch(id, &mut self.touched);
            }
            for tally in [Some(&mut self.tally), peer.map(|p| &mut p.tally)].into_iter().flatten() {
                if created {
                    tally.created += segments;
                    tally.queued += segments;
                } else {
                    tally.queued -= segments;
                    tally.drop(InboundDrop::Stage, segments);
                }
            }
        }
    }

    /// Counts a packet in that was made here.
    pub fn create(&mut self) {
        self.tally.created += 1;
        self.tally.queued += 1;
    }

    /// Publishes the touched peers' counts, once their frames have departed.
    pub fn publish(&mut self) {
        for id in self.touched.drain(..) {
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.batch.touched = false;
                peer.activity.inbound.publish(&peer.tally);
            }
        }
    }

    /// A peer exists from now on.
    pub fn add_peer(&mut self, id: PeerId, activity: Arc<Activity>) {
        let peer = ReceivingPeer {
            activity,
            path: None,
            next: None,
            tally: InboundTally::default(),
            batch: BatchTraffic::default(),
        };
        self.peers.insert(id, peer);
    }

    /// A peer is gone, with all its sessions.
    pub fn remove_peer(&mut self, id: PeerId) {
        self.sessions.retain(|_, receiving| receiving.session.peer != id);
        self.peers.remove(&id);
    }

    /// Where control knows the peer to be.
    pub fn set_path(&mut self, id: PeerId, path: Option<Path>) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.path = path;
        }
    }

    /// Accepts messages with this session's index from now on; see [`crate::wireguard::commands::InboundCommand`].
    pub fn install(&mut self, session: ReceiveSession, next: Option<SendSession>) {
        let window = ReplayWindow::default();
        let (index, confirmed) = (session.local_index, next.is_none());
        if let Some(peer) = self.peers.get_mut(&session.peer) {
            // The newest session is sent with: an older one that waits does not come after it.
            peer.next = next;
        }
        self.sessions
            .insert(index, Box::new(Receiving { session, window, confirmed, asked: false }));
    }

    /// Forgets the session with this index.
    pub fn erase(&mut self, local_index: u32) {
        let Some(receiving) = self.sessions.remove(&local_index) else { return };
        if let Some(peer) = self.peers.get_mut(&receiving.session.peer) {
            peer.next.take_if(|next| next.local_index == local_index);
        }
    }

    /// The path's counts.
    pub fn tally(&mut self) -> &mut InboundTally {
        &mut self.tally
    }

    /// What control must be told.
    pub fn reports(&mut self) -> &mut Vec<Report> {
        &mut self.reports
    }

    /// What outbound must be told before the batch is written.
    pub fn outbound_commands(&mut self) -> &mut Vec<OutboundCommand> {
        &mut self.outbound_commands
    }
}

/// Parses an opened text, checks that `id` may send it, merges the outer ECN into it, and makes it
/// the last of `frames`. Says whether it was marked.
fn judge(
    arrival: &Arrival,
    outer_ecn: u8,
    id: PeerId,
    buffer: &mut [u8],
    source_check: &mut SourceCheck,
    frames: &mut Vec<Frame>,
) -> Result<bool, InboundDrop> {
    let Slot { offset, length, .. } = arrival.slot;
    let text = &mut buffer[offset as usize..(offset + length) as usize];
    let mut frame = packet::parse(text, offset).map_err(|_| InboundDrop::InvalidPacket)?;
    if !source_check.allows(id, &frame) {
        return Err(InboundDrop::SourceNotAllowed);
    }
    frame.peer = id.0;
    let marked = match merge_ecn(outer_ecn, frame.ds & 0b11) {
        EcnMerge::Keep => false,
        EcnMerge::Set(ecn) => {
            mark(&mut frame, text, ecn);
            true
        }
        EcnMerge::Drop => return Err(InboundDrop::EcnNotCapable),
    };
    frames.push(frame);
    Ok(marked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aead::TransportKey;

    struct Nothing;

    impl Aead for Nothing {
        fn name(&self) -> &'static str {
            "nothing"
        }

        fn seal(&mut self, _: &TransportKey, _: &mut [u8], _: &[Slot]) {}

        fn open(&mut self, _: &TransportKey, _: &mut [u8], _: &[Slot], _: &mut [bool]) {}
    }

    #[test]
    fn peers_that_come_and_go_leave_no_room_behind() {
        let mut decrypt = Decrypt::new(Box::new(Nothing));
        for number in 0..10_000 {
            decrypt.add_peer(PeerId(number), Arc::default());
            decrypt.remove_peer(PeerId(number));
        }
        assert!(decrypt.peers.capacity() < 64, "{}", decrypt.peers.capacity());
    }
}
