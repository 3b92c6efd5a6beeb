//! The inbound path: UDP → udp_ingress → decrypt → source_check → coalesce → [stages] → tun_egress → TUN.
//!
//! A drain of the socket is `process`; then `outbound_commands`, which the outbound path must run before an answer
//! is sent; the stages and `return_from_stages` if there are any; `complete` for each frame that was written, and
//! `publish`.
//!
//! Order: frames leave in the order in which their first segment arrived; segments of a flow keep their order.

pub mod coalesce;
pub mod decrypt;
mod inbound_peer;
pub mod source_check;
pub mod state;
pub mod tun_egress;
pub mod udp_ingress;

use std::sync::Arc;

use crate::{
    aead::Aead,
    counters::{DatagramCounts, DatagramTally, InboundCounts},
    drop_reason::InboundDrop,
    frame::{Frame, FrameBatch},
    inbound::{
        coalesce::{Coalesce, CoalesceOptions},
        decrypt::Decrypt,
        source_check::SourceCheck,
        state::InboundState,
        udp_ingress::{Handshake, Received, UdpIngress},
    },
    packet,
    stage_api::StageBatch,
    wireguard::commands::{InboundCommand, OutboundCommand, Report},
};

/// The inbound path of one tunnel.
pub struct Inbound {
    udp_ingress: UdpIngress,
    decrypt: Decrypt,
    source_check: SourceCheck,
    coalesce: Coalesce,
    state: InboundState,
    counts: Arc<InboundCounts>,
    datagram_counts: Arc<DatagramCounts>,
}

impl Inbound {
    /// Creates a path that opens with `aead` and publishes its counts. `seed` must be random, so that no attacker
    /// can make the flows of the flow table collide.
    pub fn new(
        aead: Box<dyn Aead>,
        options: CoalesceOptions,
        seed: u64,
        counts: Arc<InboundCounts>,
        datagram_counts: Arc<DatagramCounts>,
    ) -> Self {
        Self {
            udp_ingress: UdpIngress::default(),
            decrypt: Decrypt::new(aead),
            source_check: SourceCheck::default(),
            coalesce: Coalesce::new(options, seed),
            state: InboundState::default(),
            counts,
            datagram_counts,
        }
    }

    /// Runs one command.
    pub fn handle_command(&mut self, command: InboundCommand) {
        let state = &mut self.state;
        match command {
            InboundCommand::AddPeer { peer, activity } => state.add_peer(peer, activity),
            InboundCommand::RemovePeer(peer) => state.remove_peer(peer),
            InboundCommand::SetPath(peer, path) => state.set_path(peer, path),
            InboundCommand::Install { session, next } => state.install(session, next),
            InboundCommand::Erase(local_index) => state.erase(local_index),
            InboundCommand::Routes(allowed_ips) => self.source_check.replace(allowed_ips),
        }
    }

    /// Processes one drain: opens its data messages into frames of `batch`, whose slices point into `buffer`, and
    /// collects its handshake messages.
    pub fn process(
        &mut self,
        received: &[Received],
        buffer: &mut [u8],
        batch: &mut FrameBatch,
        handshakes: &mut Vec<Handshake>,
    ) {
        let Self { udp_ingress, decrypt, source_check, coalesce, state, .. } = self;
        udp_ingress.process(received, buffer, handshakes, &mut state.datagrams);
        for run in udp_ingress.runs() {
            decrypt.process(state, run, received, buffer, source_check, batch);
        }
        let InboundState { peers, reports, outbound_commands, .. } = state;
        peers.finish(batch.received_ns, reports, outbound_commands);
        coalesce.process(batch, buffer);
    }

    /// Takes a batch back from the stages: counts what they created and dropped.
    pub fn return_from_stages(&mut self, stage_batch: &mut StageBatch) {
        for adjustment in stage_batch.adjustments.drain(..) {
            self.state.count_adjustment(&adjustment);
        }
    }

    /// Drops a batch whose stage did not return in time.
    pub fn drop_stalled(&mut self, batch: &mut FrameBatch) {
        for frame in batch.frames.drain(..) {
            self.state.complete(&frame, Some(InboundDrop::StageStalled));
        }
    }

    /// Counts an ICMP error of the outbound path as created and returns its frame, to be written and completed
    /// as any other. It does not pass the stages, as the host's own errors do not.
    pub fn inject(&mut self, packet: &[u8]) -> Option<Frame> {
        let frame = packet::parse(packet, 0).ok()?;
        self.state.tally.created += 1;
        self.state.tally.queued += 1;
        Some(frame)
    }

    /// Counts one frame: as written, or as dropped for a reason.
    pub fn complete(&mut self, frame: &Frame, dropped: Option<InboundDrop>) {
        self.state.complete(frame, dropped);
    }

    /// Publishes the counts to all readers: once a batch, after its frames were completed.
    pub fn publish(&mut self) {
        self.state.peers.publish();
        self.counts.publish(&self.state.tally);
        self.datagram_counts.publish(&self.state.datagrams);
    }

    /// The counts of datagrams, for a caller that drops some itself.
    pub fn datagrams(&mut self) -> &mut DatagramTally {
        &mut self.state.datagrams
    }

    /// Reports for control; the caller drains them.
    pub fn reports(&mut self) -> &mut Vec<Report> {
        &mut self.state.reports
    }

    /// Commands for the outbound path, which must run before the batch is written, as an answer may follow at
    /// once. The caller drains them.
    pub fn outbound_commands(&mut self) -> &mut Vec<OutboundCommand> {
        &mut self.state.outbound_commands
    }

    /// Sets the protocols to merge from now on.
    pub fn set_coalesce(&mut self, options: CoalesceOptions) {
        self.coalesce.set_options(options);
    }
}
