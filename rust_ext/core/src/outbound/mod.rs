//! The outbound path: TUN → tun_ingress → route → [stages] → encrypt → gso_egress → UDP.
//!
//! In: what a drain of the TUN gave, and control's commands between drains. Out: the GSO list.
//! Drops: what its stages drop, each counted. Order: frames go through in the order in which they
//! were read; a command that gives a peer keys sends its staged frames before the next is read.
//!
//! A drain is `ingress` for each frame, then `run_tun_aqm`, `route`, the stages and `take_back` where there are any,
//! `encrypt` until it has taken all (sending in between where it says that it is full), and `finish`.

pub mod encrypt;
pub mod gso_batch;
pub mod gso_egress;
pub mod icmp_error;
mod outbound_peer;
pub mod route;
pub mod staged;
mod tun_aqm;
pub mod tun_ingress;

use std::{collections::VecDeque, sync::Arc};

use crate::{
    aead::Aead,
    counters::{OutboundCounts, OutboundTally},
    drop_reason::OutboundDrop,
    frame::{FrameBatch, NO_PEER},
    outbound::{encrypt::Encrypt, gso_egress::GsoEgress, route::Route, tun_aqm::TunAqm},
    stage_api::StageBatch,
    wireguard::{
        commands::{OutboundCommand, Report},
        peer::PeerId,
    },
};

/// The path's state.
pub struct Outbound {
    route: Route,
    encrypt: Encrypt,
    /// Peers with new keys whose staged frames, or the empty message in their stead, did not all fit
    /// into the list.
    unflushed: VecDeque<PeerId>,
    tun_aqm: TunAqm,
    counts: Arc<OutboundCounts>,
}

impl Outbound {
    /// A path that batches in `gso`, seals with `aead` and publishes its counts in `counts`.
    pub fn new(
        gso: GsoEgress,
        aead: Box<dyn Aead>,
        mtu: usize,
        counts: Arc<OutboundCounts>,
    ) -> Self {
        Self {
            route: Route::default(),
            encrypt: Encrypt::new(gso, aead, mtu),
            unflushed: VecDeque::new(),
            tun_aqm: TunAqm::new(),
            counts,
        }
    }

    /// Carries out one command; see [`OutboundCommand`].
    pub fn handle_command(&mut self, command: OutboundCommand, now_ns: u64) {
        let encrypt = &mut self.encrypt;
        match command {
            OutboundCommand::AddPeer { peer, activity } => encrypt.add_peer(peer, activity),
            OutboundCommand::RemovePeer(peer) => encrypt.remove_peer(peer),
            OutboundCommand::SetPath(peer, path) => encrypt.set_path(peer, path),
            OutboundCommand::Install { peer, session, confirm } => {
                encrypt.install(peer, session);
                if encrypt.has_staged(peer) || confirm && !encrypt.keepalive(peer, now_ns) {
                    self.unflushed.push_back(peer);
                }
            }
            OutboundCommand::Erase(peer) => encrypt.erase(peer),
            OutboundCommand::DropStaged(peer) => encrypt.drop_staged(peer),
            OutboundCommand::Keepalive(peer) => {
                encrypt.keepalive(peer, now_ns);
            }
            OutboundCommand::Routes(allowed_ips) => self.route.replace(allowed_ips),
        }
    }

    /// Sends frames that waited for keys. Returns false where the list is full: send, then call
    /// again. Nothing is read from the TUN before this is true.
    pub fn flush_staged(&mut self, now_ns: u64) -> bool {
        while let Some(&peer) = self.unflushed.front() {
            let flushed = match self.encrypt.has_staged(peer) {
                true => self.encrypt.flush_staged(peer, now_ns),
                false => self.encrypt.keepalive(peer, now_ns),
            };
            if !flushed {
                return false;
            }
            self.unflushed.pop_front();
        }
        true
    }

    /// Takes one frame, as read from the TUN with its virtio-net header at `offset`, into the batch.
    pub fn ingress(&mut self, batch: &mut FrameBatch, buffer: &[u8], offset: usize, length: usize) {
        if let Err(reason) = tun_ingress::accept(batch, buffer, offset, length) {
            self.tally().entered += 1;
            self.tally().drop(reason, 1);
        }
    }

    /// Has the sender of the drain's first frame slow down, where a queue stands at the TUN; `emptied`: the
    /// drain took all there was. Called for each drain, one without a frame as well.
    pub fn run_tun_aqm(&mut self, batch: &mut FrameBatch, buffer: &mut [u8], emptied: bool) {
        self.tun_aqm.process(batch, buffer, emptied, self.encrypt.tally());
    }

    /// Gives each frame its peer, or drops and refuses it; what has one is counted in.
    pub fn route(&mut self, batch: &mut FrameBatch, buffer: &[u8]) {
        let (tally, icmp_errors) = self.encrypt.tally_and_icmp_errors();
        self.route.process(batch, buffer, tally, icmp_errors);
        self.encrypt.admit(batch);
    }

    /// Takes back what was lent to the stages: counts what they dropped and made, and routes what
    /// has no peer yet.
    pub fn take_back(&mut self, stage_batch: &mut StageBatch) {
        self.encrypt.book(&stage_batch.adjustments);
        stage_batch.adjustments.clear();
        let Self { route, encrypt, .. } = self;
        stage_batch.batch.frames.retain_mut(|frame| {
            if frame.peer != NO_PEER {
                return true;
            }
            match route.of(frame) {
                Some(peer) => {
                    frame.peer = peer.0;
                    encrypt.adopt(frame);
                    true
                }
                None => {
                    encrypt.refuse(
                        frame,
                        frame.bytes(&stage_batch.buffer),
                        stage_batch.batch.received_ns,
                    );
                    encrypt.discard(frame, OutboundDrop::NoRoute);
                    false
                }
            }
        });
    }

    /// Drops a routed batch: a stage does not return.
    pub fn stall(&mut self, batch: &mut FrameBatch) {
        for frame in batch.frames.drain(..) {
            self.encrypt.discard(&frame, OutboundDrop::StageStalled);
        }
    }

    /// See [`Encrypt::process`].
    pub fn encrypt(&mut self, batch: &FrameBatch, buffer: &[u8], first: usize) -> usize {
        self.encrypt.process(batch, buffer, first)
    }

    /// Ends a drain, a flush or a run of commands: seals, and writes activity.
    pub fn finish(&mut self, now_ns: u64) {
        self.encrypt.finish(now_ns);
    }

    /// The list to send from, oldest batch first.
    pub fn gso(&self) -> &GsoEgress {
        self.encrypt.gso()
    }

    /// Books the next datagrams of the list; see [`Encrypt::depart`].
    pub fn depart(&mut self, datagrams: usize, refused: Option<OutboundDrop>) {
        self.encrypt.depart(datagrams, refused);
    }

    /// Shows the counts to all readers; once a batch, after its datagrams have departed.
    pub fn publish(&mut self) {
        self.encrypt.publish();
        self.counts.publish(self.encrypt.tally());
    }

    fn tally(&mut self) -> &mut OutboundTally {
        self.encrypt.tally()
    }

    /// ICMP errors for the senders of what was dropped, each a packet for the TUN; the inbound path writes
    /// them (see [`crate::inbound::Inbound::create`]).
    pub fn icmp_errors(&mut self) -> &mut Vec<Box<[u8]>> {
        self.encrypt.icmp_errors()
    }

    /// The longest datagram that one packet of the way to this peer carries, as far as is known. Packets
    /// that do not fit are refused for the next two seconds.
    pub fn set_max_datagram_size(&mut self, peer: PeerId, fits: Option<usize>, now_ns: u64) {
        self.encrypt.set_max_datagram_size(peer, fits, now_ns);
    }

    /// What control must be told; the caller drains it.
    pub fn reports(&mut self) -> &mut Vec<Report> {
        self.encrypt.reports()
    }

    /// Follows the TUN's MTU.
    pub fn set_mtu(&mut self, mtu: usize) {
        self.encrypt.set_mtu(mtu);
    }
}

#[cfg(test)]
mod tests;
