//! The outbound path: TUN → tun_ingress → route → [stages] → encrypt → gso_egress → UDP.
//!
//! A drain of the TUN is `ingress` for each frame, then `run_tun_aqm`, `route`, the stages and
//! `return_from_stages` if there are any, `encrypt` until it has taken all frames (sending in between while the
//! GSO list is full), `finish`, `complete` for what was sent, and `publish`.
//!
//! Order: frames pass in the order in which they were read. Commands run between drains; one that gives a
//! peer keys sends its staged frames before the next frame is read.

mod encrypt;
pub mod gso_batch;
pub mod gso_egress;
pub mod icmp_error;
mod outbound_peer;
pub mod route;
mod staged;
mod state;
mod tun_aqm;
pub mod tun_ingress;

use std::{collections::VecDeque, sync::Arc};

use crate::{
    aead::Aead,
    counters::OutboundCounts,
    drop_reason::OutboundDrop,
    frame::{FrameBatch, NO_PEER},
    outbound::{
        encrypt::Encrypt, gso_egress::GsoEgress, icmp_error::IcmpError, route::Route,
        state::OutboundState, tun_aqm::TunAqm,
    },
    stage_api::StageBatch,
    wireguard::{
        commands::{OutboundCommand, Report},
        peer::PeerId,
    },
};

/// The outbound path of one tunnel.
pub struct Outbound {
    tun_aqm: TunAqm,
    route: Route,
    encrypt: Encrypt,
    state: OutboundState,
    /// Peers with new keys, whose staged frames, or the keepalive that confirms the keys, must still be sent.
    unflushed: VecDeque<PeerId>,
    counts: Arc<OutboundCounts>,
}

impl Outbound {
    /// Creates a path that batches in `gso`, seals with `aead` and publishes its counts in `counts`; `mtu` is
    /// the TUN's.
    pub fn new(
        gso: GsoEgress,
        aead: Box<dyn Aead>,
        mtu: usize,
        counts: Arc<OutboundCounts>,
    ) -> Self {
        Self {
            tun_aqm: TunAqm::default(),
            route: Route::default(),
            encrypt: Encrypt::new(aead, mtu),
            state: OutboundState::new(gso),
            unflushed: VecDeque::new(),
            counts,
        }
    }

    /// Runs one command.
    pub fn handle_command(&mut self, command: OutboundCommand, now_ns: u64) {
        let Self { encrypt, state, .. } = self;
        match command {
            OutboundCommand::AddPeer { peer, activity } => state.peers.add(peer, activity),
            OutboundCommand::RemovePeer(peer) => {
                state.drop_staged(peer);
                state.peers.remove(peer);
            }
            OutboundCommand::SetPath(peer, path) => state.set_path(peer, path),
            OutboundCommand::Install { peer: id, session, confirm } => {
                let Some(peer) = state.peers.get_mut(id) else { return };
                peer.install(session);
                if !peer.staged.is_empty() || confirm && !encrypt.keepalive(state, id, now_ns) {
                    self.unflushed.push_back(id);
                }
            }
            OutboundCommand::Erase(peer) => {
                if let Some(peer) = state.peers.get_mut(peer) {
                    peer.erase();
                }
            }
            OutboundCommand::DropStaged(peer) => state.drop_staged(peer),
            OutboundCommand::Keepalive(peer) => {
                // Without room, datagrams are on their way already, though perhaps not to this peer.
                encrypt.keepalive(state, peer, now_ns);
            }
            OutboundCommand::Routes(allowed_ips) => self.route.replace(allowed_ips),
        }
    }

    /// Encrypts frames that waited for keys. Returns false if the GSO list is full: send, then call again.
    /// No frame may be read from the TUN before this returns true.
    pub fn flush_staged(&mut self, now_ns: u64) -> bool {
        let Self { encrypt, state, unflushed, .. } = self;
        while let Some(&peer) = unflushed.front() {
            let has_staged = state.peers.get(peer).is_some_and(|peer| !peer.staged.is_empty());
            let is_done = match has_staged {
                true => encrypt.flush_staged(state, peer, now_ns),
                false => encrypt.keepalive(state, peer, now_ns),
            };
            if !is_done {
                return false;
            }
            unflushed.pop_front();
        }
        true
    }

    /// Parses one frame, as read from the TUN with its virtio-net header at `offset`, into the batch.
    pub fn ingress(&mut self, batch: &mut FrameBatch, buffer: &[u8], offset: usize, length: usize) {
        if let Err(reason) = tun_ingress::accept(batch, buffer, offset, length) {
            self.state.tally.entered += 1;
            self.state.tally.drop(reason, 1);
        }
    }

    /// Signals congestion to the sender of the drain's first frame if a queue stands at the TUN; `emptied`: the
    /// drain read all that waited there. Must be called for every drain, also for one without frames.
    pub fn run_tun_aqm(&mut self, batch: &mut FrameBatch, buffer: &mut [u8], emptied: bool) {
        self.tun_aqm.process(batch, buffer, emptied, &mut self.state.tally);
    }

    /// Assigns each frame its peer and counts it in; frames without a peer are dropped and answered.
    pub fn route(&mut self, batch: &mut FrameBatch, buffer: &[u8]) {
        let OutboundState { tally, icmp_errors, .. } = &mut self.state;
        self.route.process(batch, buffer, tally, icmp_errors);
        for frame in &batch.frames {
            self.state.count_entered(frame);
        }
    }

    /// Takes a batch back from the stages: counts what they created and dropped, and routes the frames that
    /// have no peer yet.
    pub fn return_from_stages(&mut self, stage_batch: &mut StageBatch) {
        let Self { route, state, .. } = self;
        let StageBatch { batch, buffer, adjustments } = stage_batch;
        for adjustment in adjustments.drain(..) {
            state.count_adjustment(&adjustment);
        }
        let now_ns = batch.received_ns;
        batch.frames.retain_mut(|frame| {
            if frame.peer != NO_PEER {
                return true;
            }
            let peer = route.peer_of(frame);
            match peer {
                Some(peer) => {
                    frame.peer = peer.0;
                    state.peers.count_created(frame);
                }
                None => {
                    let bytes = frame.bytes(buffer);
                    state.icmp_errors.push(frame, bytes, IcmpError::HostUnreachable, now_ns);
                    state.count_drop(frame, OutboundDrop::NoRoute);
                }
            }
            peer.is_some()
        });
    }

    /// Drops a routed batch whose stage did not return in time.
    pub fn drop_stalled(&mut self, batch: &mut FrameBatch) {
        for frame in batch.frames.drain(..) {
            self.state.count_drop(&frame, OutboundDrop::StageStalled);
        }
    }

    /// Encrypts the frames from index `first` on into the GSO list. Returns the index of the first frame that
    /// the list has no room for: send, then call again from there.
    pub fn encrypt(&mut self, batch: &FrameBatch, buffer: &[u8], first: usize) -> usize {
        self.encrypt.process(&mut self.state, batch, buffer, first)
    }

    /// Ends a drain, a flush or a run of commands: writes the activity of the peers that were sent to.
    pub fn finish(&mut self, now_ns: u64) {
        self.state.peers.finish(now_ns, &mut self.state.reports);
    }

    /// The list to send from, oldest batch first.
    pub fn gso(&self) -> &GsoEgress {
        &self.state.gso
    }

    /// Takes the next `datagrams` of the oldest batch off the list (`usize::MAX`: all of it) and counts them:
    /// as sent, or as dropped for a reason.
    pub fn complete(&mut self, datagrams: usize, dropped: Option<OutboundDrop>) {
        self.state.complete(datagrams, dropped);
    }

    /// Publishes the counts to all readers: once a batch, after its datagrams were completed.
    pub fn publish(&mut self) {
        self.state.peers.publish();
        self.counts.publish(&self.state.tally);
    }

    /// ICMP errors for the senders of dropped frames, each a packet for the inbound path to write to the TUN.
    /// The caller drains them.
    pub fn icmp_errors(&mut self) -> &mut Vec<Box<[u8]>> {
        self.state.icmp_errors.pending()
    }

    /// Reports for control; the caller drains them.
    pub fn reports(&mut self) -> &mut Vec<Report> {
        &mut self.state.reports
    }

    /// Sets the longest datagram that one packet of the path to this peer carries; `None` if it is not known.
    /// For the next two seconds, longer packets are answered with an ICMP error.
    pub fn set_max_datagram_size(&mut self, peer: PeerId, size: Option<usize>, now_ns: u64) {
        if let Some(peer) = self.state.peers.get_mut(peer) {
            peer.set_max_datagram_size(size, now_ns);
        }
    }

    /// Sets the TUN's MTU.
    pub fn set_mtu(&mut self, mtu: usize) {
        self.encrypt.set_mtu(mtu);
    }
}

#[cfg(test)]
mod tests;
