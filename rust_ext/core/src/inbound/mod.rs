//! The inbound path: UDP → udp_ingress → decrypt → source_check → coalesce → [stages] → tun_egress → TUN.
//!
//! In: what a drain of the socket gave, and control's commands between drains. Out: frames for the
//! TUN, handshake messages for control. Drops: what its stages drop, each counted. Order: frames
//! leave in the order in which their first segment arrived; segments of a flow keep their order.
//!
//! A drain is `process`, then `outbound_commands` handed to the outbound path, the stages and `take_back` where
//! there are any, a `depart` for each frame, and `publish`.

pub mod coalesce;
pub mod decrypt;
pub mod source_check;
pub mod tun_egress;
pub mod udp_ingress;

use std::sync::Arc;

use crate::{
    aead::Aead,
    counters::{DatagramCounts, DatagramTally, InboundCounts},
    drop_reason::InboundDrop,
    frame::{Frame, FrameBatch},
    inbound::source_check::SourceCheck,
    inbound::{
        coalesce::{Coalesce, CoalesceOptions},
        decrypt::Decrypt,
        udp_ingress::{Arrival, Handshake, Received, classify_drain},
    },
    packet,
    stage_api::StageBatch,
    wireguard::commands::{InboundCommand, OutboundCommand, Report},
};

/// The path's state.
pub struct Inbound {
    decrypt: Decrypt,
    source_check: SourceCheck,
    coalesce: Coalesce,
    arrivals: Vec<Arrival>,
    datagrams: DatagramTally,
    counts: Arc<InboundCounts>,
    datagram_counts: Arc<DatagramCounts>,
}

impl Inbound {
    /// A path that opens with `aead` and publishes its counts. `seed` is random: it keeps strangers
    /// from aiming at one place of the flow table.
    pub fn new(
        aead: Box<dyn Aead>,
        options: CoalesceOptions,
        seed: u64,
        counts: Arc<InboundCounts>,
        datagram_counts: Arc<DatagramCounts>,
    ) -> Self {
        Self {
            decrypt: Decrypt::new(aead),
            source_check: SourceCheck::default(),
            coalesce: Coalesce::new(options, seed),
            arrivals: Vec::new(),
            datagrams: DatagramTally::default(),
            counts,
            datagram_counts,
        }
    }

    /// Carries out one command; see [`InboundCommand`].
    pub fn handle_command(&mut self, command: InboundCommand) {
        let decrypt = &mut self.decrypt;
        match command {
            InboundCommand::AddPeer { peer, activity } => decrypt.add_peer(peer, activity),
            InboundCommand::RemovePeer(peer) => decrypt.remove_peer(peer),
            InboundCommand::SetPath(peer, path) => decrypt.set_path(peer, path),
            InboundCommand::Install { session, next } => decrypt.install(session, next),
            InboundCommand::Erase(local_index) => decrypt.erase(local_index),
            InboundCommand::Routes(allowed_ips) => self.source_check.replace(allowed_ips),
        }
    }

    /// Takes one drain: opens its data messages into frames of `batch`, whose slices point into
    /// `buffer`, and collects its handshake messages.
    pub fn process(
        &mut self,
        received: &[Received],
        buffer: &mut [u8],
        batch: &mut FrameBatch,
        handshakes: &mut Vec<Handshake>,
    ) {
        let Self { decrypt, source_check, coalesce, arrivals, datagrams, .. } = self;
        classify_drain(
            received,
            buffer,
            arrivals,
            handshakes,
            datagrams,
            |index, arrivals, buffer, datagrams| {
                decrypt.process(index, arrivals, received, buffer, batch, source_check, datagrams);
            },
        );
        decrypt.finish(batch.received_ns);
        coalesce.process(batch, buffer);
    }

    /// Takes back what was lent to the stages: counts what they dropped and made.
    pub fn take_back(&mut self, stage_batch: &mut StageBatch) {
        self.decrypt.book(&stage_batch.adjustments);
        stage_batch.adjustments.clear();
    }

    /// Drops a batch: a stage does not return.
    pub fn stall(&mut self, batch: &mut FrameBatch) {
        for frame in batch.frames.drain(..) {
            self.decrypt.depart(&frame, Some(InboundDrop::StageStalled));
        }
    }

    /// Takes a packet that outbound made for a sender (see [`crate::outbound::icmp_error`]): counted as created, and to
    /// be written and departed as any frame. It goes by the stages, as the host's own errors do.
    pub fn create(&mut self, packet: &[u8]) -> Option<Frame> {
        let frame = packet::parse(packet, 0).ok()?;
        self.decrypt.create();
        Some(frame)
    }

    /// Books one frame: written, or refused for a reason.
    pub fn depart(&mut self, frame: &Frame, refused: Option<InboundDrop>) {
        self.decrypt.depart(frame, refused);
    }

    /// Ends a drain: shows the counts to all readers.
    pub fn publish(&mut self) {
        self.decrypt.publish();
        self.counts.publish(self.decrypt.tally());
        self.datagram_counts.publish(&self.datagrams);
    }

    /// Counts of datagrams, for those who drop some (a full handshake queue).
    pub fn datagrams(&mut self) -> &mut DatagramTally {
        &mut self.datagrams
    }

    /// What control must be told; the caller drains it.
    pub fn reports(&mut self) -> &mut Vec<Report> {
        self.decrypt.reports()
    }

    /// What the outbound path must be told before the batch is written, as an answer may come at once;
    /// the caller drains it.
    pub fn outbound_commands(&mut self) -> &mut Vec<OutboundCommand> {
        self.decrypt.outbound_commands()
    }

    /// What is merged from now on; a TUN that loses an offload loses it here as well.
    pub fn set_coalesce(&mut self, options: CoalesceOptions) {
        self.coalesce.set_options(options);
    }
}
