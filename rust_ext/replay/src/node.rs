//! One end of the virtual wire: the real device and both paths, driven by hand.
//!
//! In: drains of packets for its TUN, drains of datagrams for its socket, the time. Out: sealed
//! batches, frames, handshake messages. Drops and order: the core's own, and those of the stages that
//! a plan gives it, which work on a copy of each drain.

use std::{net::SocketAddr, sync::Arc};

use pyfw_core::{
    aead::Aead,
    buffer::{Buffer, STAGE_ROOM},
    counters::{DatagramCounts, InboundCounts, OutboundCounts},
    frame::{Frame, FrameBatch, Slice},
    inbound::{
        Inbound,
        coalesce::{Coalesce, CoalesceOptions},
        tun_egress::virtio_header,
        udp_ingress::{Handshake, Received},
    },
    outbound::{Outbound, gso_batch::GsoBatch, gso_egress::GsoEgress},
    packet::{self, pieces::pieces, virtio::VIRTIO_HEADER_LENGTH},
    stage_api::{Direction, StageBatch, Stages},
    time::Now,
    wireguard::{
        commands::{Command, OutboundCommand, Report, SendSession},
        device::{Device, Event, PeerChange},
    },
};

use crate::{
    plan::{Frames, NodeCounts, NodePlan, Plan, Rule},
    random::Seeded,
};

/// Batches an end may hold before they are taken.
const BUFFERS: usize = 64;

/// What an end says to its surroundings while it works.
pub(crate) trait NetworkSink {
    /// A batch leaves.
    fn batch(&mut self, batch: &GsoBatch, payload: &[u8]);
    /// A handshake message leaves.
    fn message(&mut self, destination: SocketAddr, ds: u8, bytes: &[u8]);
    /// The end sends with these keys from now on.
    fn session(&mut self, session: &SendSession);
    /// The secrets of a handshake, for a key log.
    fn event(&mut self, event: Event);
}

/// The end.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    device: Device,
    outbound: Outbound,
    inbound: Inbound,
    frames: Frames,
    regroup: Coalesce,
    /// One drain of the TUN: frames with their virtio-net headers, and their places.
    buffer: Vec<u8>,
    places: Vec<(usize, usize)>,
    packets: FrameBatch,
    batch: FrameBatch,
    handshakes: Vec<Handshake>,
    reports: Vec<Report>,
    stages: Option<Arc<dyn Stages>>,
    /// Where a drain lies while stages have it.
    stage_buffer: Buffer,
    mtu: usize,
    frames_written: u64,
    counts: (Arc<OutboundCounts>, Arc<InboundCounts>, Arc<DatagramCounts>),
}

impl Node {
    pub(crate) fn new(
        plan: &Plan,
        number: usize,
        ciphers: [Box<dyn Aead>; 2],
        keys: &[[u8; 32]],
        now: Now,
    ) -> Self {
        let this = &plan.ends[number];
        let max_segments = if plan.rule == Rule::Ordered { plan.max_segments } else { 1 };
        let counts = (Arc::default(), Arc::default(), Arc::default());
        let [seal, open] = ciphers;
        let mut device = Device::new(Box::new(Seeded::new(plan.seed, number as u64)));
        device.set_private_key(Some(keys[number]), now);
        for (other, peer) in plan.ends.iter().enumerate() {
            // The first end is the hub.
            if other != number && (number == 0 || other == 0) {
                device.set_peer(peer_of(peer, &keys[other], plan, number), now);
            }
        }
        let options = CoalesceOptions { tcp4: true, tcp6: true, udp: true, psh_closes: false };
        Self {
            name: this.name.clone(),
            address: this.endpoint,
            device,
            outbound: Outbound::new(
                GsoEgress::new(max_segments, BUFFERS),
                seal,
                plan.mtu,
                Arc::clone(&counts.0),
            ),
            inbound: Inbound::new(
                open,
                plan.coalesce,
                plan.seed,
                Arc::clone(&counts.1),
                Arc::clone(&counts.2),
            ),
            frames: plan.frames,
            regroup: Coalesce::new(options, plan.seed),
            buffer: Vec::new(),
            places: Vec::new(),
            packets: FrameBatch::default(),
            batch: FrameBatch::default(),
            handshakes: Vec::new(),
            reports: Vec::new(),
            stages: this.stages.clone(),
            stage_buffer: Buffer::default(),
            mtu: plan.mtu,
            frames_written: 0,
            counts,
        }
    }

    /// Asks for the secrets of handshakes as events.
    pub(crate) fn log_keys(&mut self) {
        self.device.set_key_log(true);
    }

    /// Adds one packet to the drain that is being read.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Option<Frame> {
        let offset = self.buffer.len() + VIRTIO_HEADER_LENGTH;
        self.buffer.extend_from_slice(&[0; VIRTIO_HEADER_LENGTH]);
        self.buffer.extend_from_slice(bytes);
        self.places.push((offset - VIRTIO_HEADER_LENGTH, VIRTIO_HEADER_LENGTH + bytes.len()));
        let frame = packet::parse(bytes, offset as u32).ok();
        self.packets.frames.extend(frame);
        frame
    }

    /// Ends the drain: its packets go through the outbound path.
    pub(crate) fn drain(&mut self, now: Now, out: &mut impl NetworkSink) {
        self.batch.clear();
        self.batch.received_ns = now.boot_ns;
        if self.frames == Frames::Tso {
            self.regroup();
        }
        for &(offset, length) in &self.places {
            self.outbound.ingress(&mut self.batch, &self.buffer, offset, length);
        }
        self.outbound.route(&mut self.batch, &self.buffer);
        // Nobody sits behind a replay's TUN who would heed an ICMP error.
        self.outbound.icmp_errors().clear();
        if self.wants(Direction::Outbound) {
            let drain = std::mem::take(&mut self.buffer);
            self.through_stages(Direction::Outbound, &drain, 0);
            self.encrypt(now, None, out);
            self.buffer = drain;
        } else {
            let drain = std::mem::take(&mut self.buffer);
            self.encrypt(now, Some(&drain), out);
            self.buffer = drain;
        }
        self.buffer.clear();
        self.places.clear();
        self.packets.clear();
        self.flush(now, out);
    }

    /// Encrypts and sends the batch, whose frames lie in `drain`, or where stages left them.
    fn encrypt(&mut self, now: Now, drain: Option<&[u8]>, out: &mut impl NetworkSink) {
        let mut next = 0;
        loop {
            let buffer = drain.unwrap_or(&self.stage_buffer);
            next = self.outbound.encrypt(&self.batch, buffer, next);
            self.send(now, out);
            if next == self.batch.frames.len() {
                break;
            }
        }
    }

    // Stages

    fn wants(&self, direction: Direction) -> bool {
        self.stages.as_ref().is_some_and(|s| s.wants(direction) || s.has_pending(direction))
    }

    /// Whether frames that stages emitted wait.
    pub(crate) fn has_pending(&self, direction: Direction) -> bool {
        self.stages.as_ref().is_some_and(|stages| stages.has_pending(direction))
    }

    /// When stages want the time.
    pub(crate) fn next_tick_ns(&self) -> Option<u64> {
        self.stages.as_ref().and_then(|stages| stages.due_ns())
    }

    /// Whether stages hold frames.
    pub(crate) fn is_held_from(&self) -> bool {
        self.stages.as_ref().is_some_and(|stages| stages.holds())
    }

    /// Gives it to them.
    pub(crate) fn tick(&mut self, now: Now) {
        if let Some(stages) = &self.stages {
            stages.tick(now.boot_ns);
        }
    }

    /// What stages emitted outbound leaves.
    pub(crate) fn send_pending(&mut self, now: Now, out: &mut impl NetworkSink) {
        self.batch.clear();
        self.batch.received_ns = now.boot_ns;
        self.through_stages(Direction::Outbound, &[], 0);
        self.encrypt(now, None, out);
        self.flush(now, out);
    }

    /// What stages emitted inbound is written.
    pub(crate) fn write_pending(&mut self, now: Now) -> (&FrameBatch, &[u8]) {
        self.batch.clear();
        self.batch.received_ns = now.boot_ns;
        self.through_stages(Direction::Inbound, &[], 0);
        self.write();
        (&self.batch, &self.stage_buffer)
    }

    /// Takes the batch through the stages. Its frames lie in `drain`, which begins at `start` of the
    /// buffer that they name.
    fn through_stages(&mut self, direction: Direction, drain: &[u8], start: u32) {
        let Some(stages) = self.stages.clone() else { return };
        for frame in &mut self.batch.frames {
            frame.offset -= start;
        }
        for slice in &mut self.batch.slices {
            slice.offset -= start;
        }
        let needed = drain.len() + STAGE_ROOM;
        if self.stage_buffer.len() < needed {
            self.stage_buffer = Buffer::new(needed.next_power_of_two());
        }
        self.stage_buffer.begin()[..drain.len()].copy_from_slice(drain);
        self.stage_buffer.fill(drain.len());
        let mut stage_batch = StageBatch {
            batch: std::mem::take(&mut self.batch),
            buffer: std::mem::take(&mut self.stage_buffer),
            ..StageBatch::default()
        };
        stages.process(direction, &mut stage_batch, self.mtu);
        match direction {
            Direction::Outbound => self.outbound.return_from_stages(&mut stage_batch),
            Direction::Inbound => self.inbound.return_from_stages(&mut stage_batch),
        }
        (self.batch, self.stage_buffer) = (stage_batch.batch, stage_batch.buffer);
    }

    /// Counts the batch as written.
    fn write(&mut self) {
        for frame in &self.batch.frames {
            self.inbound.complete(frame, None);
        }
        self.frames_written += self.batch.frames.len() as u64;
        self.inbound.publish();
    }

    /// Puts runs of a flow's segments together as a kernel with TSO would have kept them.
    fn regroup(&mut self) {
        self.regroup.process(&mut self.packets, &mut self.buffer);
        let mut joined = Vec::with_capacity(self.buffer.len());
        self.places.clear();
        for frame in &self.packets.frames {
            let start = joined.len();
            joined.extend_from_slice(&virtio_header(frame));
            let mut whole = [Slice { offset: 0, length: 0 }];
            for slice in pieces(frame, &self.packets.slices, &mut whole) {
                let Slice { offset, length } = *slice;
                let (from, to) = (offset as usize, (offset + length) as usize);
                joined.extend_from_slice(&self.buffer[from..to]);
            }
            self.places.push((start, joined.len() - start));
        }
        self.buffer = joined;
    }

    /// Takes one drain of the socket: opens it into frames of the TUN, which are returned with the
    /// batch they belong to, and the bytes they lie in.
    pub(crate) fn open<'b>(
        &'b mut self,
        received: &[Received],
        buffer: &'b mut [u8],
        now: Now,
    ) -> (&'b FrameBatch, &'b [u8]) {
        self.batch.clear();
        self.batch.received_ns = now.boot_ns;
        self.handshakes.clear();
        self.inbound.process(received, buffer, &mut self.batch, &mut self.handshakes);
        let through_stages = self.wants(Direction::Inbound);
        if through_stages {
            let start = received.iter().map(|one| one.offset).min().unwrap_or(0);
            let end = received.iter().map(|one| one.offset + one.length).max().unwrap_or(0);
            let drain = &buffer[start as usize..end as usize];
            self.through_stages(Direction::Inbound, drain, start);
        }
        self.write();
        (&self.batch, if through_stages { &self.stage_buffer } else { buffer })
    }

    /// Ends the drain: control answers the handshake messages in it.
    pub(crate) fn answer(&mut self, buffer: &[u8], now: Now, out: &mut impl NetworkSink) {
        for handshake in &self.handshakes {
            let Slice { offset, length } = handshake.bytes;
            let bytes = &buffer[offset as usize..(offset + length) as usize];
            // A refusal is counted by the device.
            let _ = self.device.handle_datagram(bytes, handshake.from, 0, now);
        }
        self.flush(now, out);
    }

    /// When the device wants to be woken.
    pub(crate) fn next_timeout_ns(&self) -> Option<u64> {
        self.device.poll_timeout()
    }

    /// Wakes the device.
    pub(crate) fn timeout(&mut self, now: Now, out: &mut impl NetworkSink) {
        self.device.handle_timeout(now);
        self.flush(now, out);
    }

    /// Starts a handshake with every peer.
    pub(crate) fn want_handshakes(&mut self, now: Now, out: &mut impl NetworkSink) {
        let peers: Vec<_> = self.device.peers().map(|peer| peer.peer).collect();
        for peer in peers {
            self.device.handle_report(Report::WantsHandshake(peer), now);
        }
        self.flush(now, out);
    }

    /// Carries everything between device and paths until nothing moves.
    pub(crate) fn flush(&mut self, now: Now, out: &mut impl NetworkSink) {
        loop {
            self.reports.append(self.outbound.reports());
            self.reports.append(self.inbound.reports());
            let mut moved = !self.reports.is_empty();
            for command in self.inbound.outbound_commands().drain(..) {
                moved = true;
                if let OutboundCommand::Install { session, .. } = &command {
                    out.session(session);
                }
                self.outbound.handle_command(command, now.boot_ns);
            }
            for report in self.reports.drain(..) {
                self.device.handle_report(report, now);
            }
            while let Some(command) = self.device.poll_command() {
                moved = true;
                match command {
                    Command::Outbound(command) => {
                        if let OutboundCommand::Install { session, .. } = &command {
                            out.session(session);
                        }
                        self.outbound.handle_command(command, now.boot_ns);
                    }
                    Command::Inbound(command) => self.inbound.handle_command(command),
                }
            }
            if moved {
                while !self.outbound.flush_staged(now.boot_ns) {
                    self.send(now, out);
                }
                self.send(now, out);
            }
            // Events first: a key log names the secrets of a message before it is on the wire.
            while let Some(event) = self.device.poll_event() {
                out.event(event);
            }
            while let Some(transmit) = self.device.poll_transmit() {
                out.message(transmit.path.destination, transmit.ds, transmit.bytes());
            }
            if !moved {
                break;
            }
        }
    }

    fn send(&mut self, now: Now, out: &mut impl NetworkSink) {
        self.outbound.finish(now.boot_ns);
        while let Some((batch, payload)) = self.outbound.gso().oldest() {
            out.batch(batch, payload);
            self.outbound.complete(usize::MAX, None);
        }
        self.outbound.publish();
    }

    /// What was counted.
    pub(crate) fn counts(&self) -> NodeCounts {
        NodeCounts {
            outbound: self.counts.0.read(),
            inbound: self.counts.1.read(),
            datagrams: self.counts.2.read(),
            handshakes: self.device.counts().completed,
            frames: self.frames_written,
        }
    }
}

fn peer_of(peer: &NodePlan, key: &[u8; 32], plan: &Plan, number: usize) -> PeerChange {
    // All that the hub leads to is the hub's, seen from another end.
    let addresses = if number == 0 {
        peer.addresses.clone()
    } else {
        let others = plan.ends.iter().enumerate().filter(|(other, _)| *other != number);
        others.flat_map(|(_, end)| end.addresses.iter().copied()).collect()
    };
    PeerChange {
        endpoint: Some(peer.endpoint),
        replace_allowed_ips: true,
        add_allowed_ips: addresses,
        ..PeerChange::new(pyfw_core::wireguard::noise::handshake::public_key(key))
    }
}
