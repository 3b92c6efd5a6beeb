//! One node of the virtual network: a real device and both paths, driven step by step.

use std::{net::SocketAddr, sync::Arc};

use pyfw_core::{
    aead::Aead,
    counters::{DatagramCounts, InboundCounts, OutboundCounts},
    frame::{Frame, FrameBatch, Slice},
    inbound::{
        Inbound,
        udp_ingress::{Handshake, Received},
    },
    outbound::{Outbound, gso_egress::GsoEgress},
    stage_api::Direction,
    time::Now,
    wireguard::{
        commands::{Command, OutboundCommand, Report},
        device::{Device, PeerChange},
        noise::handshake::public_key,
    },
};

use crate::{
    node_sink::NodeSink,
    node_stages::NodeStages,
    plan::{NodePlan, Plan, Rule},
    random::Seeded,
    result::NodeCounts,
    tun_drain::TunDrain,
};

/// Batches that a node may hold before they are sent.
const BUFFERS: usize = 64;

pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) drain: TunDrain,
    pub(crate) stages: NodeStages,
    device: Device,
    outbound: Outbound,
    inbound: Inbound,
    batch: FrameBatch,
    handshakes: Vec<Handshake>,
    reports: Vec<Report>,
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
        let this = &plan.nodes[number];
        // Under other rules the network builds the batches, from single datagrams.
        let max_segments = if plan.rule == Rule::Ordered { plan.max_segments } else { 1 };
        let counts = (Arc::default(), Arc::default(), Arc::default());
        let [seal, open] = ciphers;
        let mut device = Device::new(Box::new(Seeded::new(plan.seed, number as u64)));
        device.set_key_log(true);
        device.set_private_key(Some(keys[number]), now);
        for (other, peer) in plan.nodes.iter().enumerate() {
            // The first node is the hub.
            if other != number && (number == 0 || other == 0) {
                device.set_peer(peer_change(peer, &keys[other], plan, number), now);
            }
        }
        let egress = GsoEgress::new(max_segments, BUFFERS);
        Self {
            name: this.name.clone(),
            address: this.endpoint,
            drain: TunDrain::new(plan),
            stages: NodeStages::new(this.stages.clone(), plan.mtu),
            device,
            outbound: Outbound::new(egress, seal, plan.mtu, Arc::clone(&counts.0)),
            inbound: Inbound::new(
                open,
                plan.coalesce,
                plan.seed,
                Arc::clone(&counts.1),
                Arc::clone(&counts.2),
            ),
            batch: FrameBatch::default(),
            handshakes: Vec::new(),
            reports: Vec::new(),
            frames_written: 0,
            counts,
        }
    }

    // Outbound

    /// Adds a packet to the next drain of the TUN; returns its parsed headers, unless they are invalid.
    pub(crate) fn push_packet(&mut self, bytes: &[u8], now_ns: u64) -> Option<Frame> {
        self.drain.push(bytes, now_ns)
    }

    /// Reads the drain and passes it through the outbound path.
    pub(crate) fn read_tun(&mut self, now: Now, sink: &mut NodeSink<'_>) {
        self.begin_batch(now);
        self.drain.apply_tso();
        let drain = std::mem::take(&mut self.drain.buffer);
        for &(offset, length) in &self.drain.frames {
            self.outbound.ingress(&mut self.batch, &drain, offset, length);
        }
        self.outbound.route(&mut self.batch, &drain);
        // No stack behind a replay's TUN would process an ICMP error.
        self.outbound.icmp_errors().clear();
        if self.stages.wants(Direction::Outbound) {
            self.run_outbound_stages(&drain);
            self.encrypt(now, None, sink);
        } else {
            self.encrypt(now, Some(&drain), sink);
        }
        self.drain.buffer = drain;
        self.drain.clear();
        self.flush(now, sink);
    }

    /// Sends the outbound frames that stages emitted.
    pub(crate) fn send_pending(&mut self, now: Now, sink: &mut NodeSink<'_>) {
        self.begin_batch(now);
        self.run_outbound_stages(&[]);
        self.encrypt(now, None, sink);
        self.flush(now, sink);
    }

    fn begin_batch(&mut self, now: Now) {
        self.batch.clear();
        self.batch.received_ns = now.boot_ns;
    }

    fn run_outbound_stages(&mut self, drain: &[u8]) {
        let outbound = &mut self.outbound;
        let account = |batch: &mut _| outbound.return_from_stages(batch);
        self.stages.process(Direction::Outbound, &mut self.batch, (drain, 0), account);
    }

    /// Encrypts and sends the batch, whose frames lie in `drain` or, if `None`, in the stages' buffer.
    fn encrypt(&mut self, now: Now, drain: Option<&[u8]>, sink: &mut NodeSink<'_>) {
        let mut next = 0;
        loop {
            let buffer = drain.unwrap_or(&self.stages.buffer);
            next = self.outbound.encrypt(&self.batch, buffer, next);
            self.send(now, sink);
            if next == self.batch.frames.len() {
                break;
            }
        }
    }

    fn send(&mut self, now: Now, sink: &mut NodeSink<'_>) {
        self.outbound.finish(now.boot_ns);
        while let Some((batch, payload)) = self.outbound.gso().oldest() {
            sink.send_batch(batch, payload);
            self.outbound.complete(usize::MAX, None);
        }
        self.outbound.publish();
    }

    // Inbound

    /// Reads one drain of the socket; returns the frames written to the TUN and the buffer that holds them.
    pub(crate) fn read_socket<'b>(
        &'b mut self,
        received: &[Received],
        buffer: &'b mut [u8],
        now: Now,
    ) -> (&'b FrameBatch, &'b [u8]) {
        self.begin_batch(now);
        self.handshakes.clear();
        self.inbound.process(received, buffer, &mut self.batch, &mut self.handshakes);
        let has_stages = self.stages.wants(Direction::Inbound);
        if has_stages {
            let start = received.iter().map(|one| one.offset).min().unwrap_or(0);
            let end = received.iter().map(|one| one.offset + one.length).max().unwrap_or(0);
            self.run_inbound_stages(&buffer[start as usize..end as usize], start);
        }
        self.write();
        (&self.batch, if has_stages { &self.stages.buffer } else { buffer })
    }

    /// Writes the inbound frames that stages emitted; returns them and the buffer that holds them.
    pub(crate) fn write_pending(&mut self, now: Now) -> (&FrameBatch, &[u8]) {
        self.begin_batch(now);
        self.run_inbound_stages(&[], 0);
        self.write();
        (&self.batch, &self.stages.buffer)
    }

    fn run_inbound_stages(&mut self, drain: &[u8], start: u32) {
        let inbound = &mut self.inbound;
        let account = |batch: &mut _| inbound.return_from_stages(batch);
        self.stages.process(Direction::Inbound, &mut self.batch, (drain, start), account);
    }

    /// Counts the batch as written to the TUN.
    fn write(&mut self) {
        for frame in &self.batch.frames {
            self.inbound.complete(frame, None);
        }
        self.frames_written += self.batch.frames.len() as u64;
        self.inbound.publish();
    }

    // Control

    /// Passes the handshake messages of the last socket drain to the device.
    pub(crate) fn handle_handshakes(&mut self, buffer: &[u8], now: Now, sink: &mut NodeSink<'_>) {
        for handshake in &self.handshakes {
            let Slice { offset, length } = handshake.bytes;
            let bytes = &buffer[offset as usize..(offset + length) as usize];
            // The device counts invalid messages.
            let _ = self.device.handle_datagram(bytes, handshake.from, 0, now);
        }
        self.flush(now, sink);
    }

    /// When the device's next timer expires.
    pub(crate) fn next_timeout_ns(&self) -> Option<u64> {
        self.device.poll_timeout()
    }

    pub(crate) fn handle_timeout(&mut self, now: Now, sink: &mut NodeSink<'_>) {
        self.device.handle_timeout(now);
        self.flush(now, sink);
    }

    /// Starts a handshake with every peer.
    pub(crate) fn start_handshakes(&mut self, now: Now, sink: &mut NodeSink<'_>) {
        let peers: Vec<_> = self.device.peers().map(|peer| peer.peer).collect();
        for peer in peers {
            self.device.handle_report(Report::WantsHandshake(peer), now);
        }
        self.flush(now, sink);
    }

    /// Exchanges commands and reports between the device and the paths until none is left.
    pub(crate) fn flush(&mut self, now: Now, sink: &mut NodeSink<'_>) {
        loop {
            self.reports.append(self.outbound.reports());
            self.reports.append(self.inbound.reports());
            let mut has_changed = !self.reports.is_empty();
            for command in self.inbound.outbound_commands().drain(..) {
                has_changed = true;
                run_outbound(&mut self.outbound, command, now, sink);
            }
            for report in self.reports.drain(..) {
                self.device.handle_report(report, now);
            }
            while let Some(command) = self.device.poll_command() {
                has_changed = true;
                match command {
                    Command::Outbound(command) => {
                        run_outbound(&mut self.outbound, command, now, sink);
                    }
                    Command::Inbound(command) => self.inbound.handle_command(command),
                }
            }
            if has_changed {
                while !self.outbound.flush_staged(now.boot_ns) {
                    self.send(now, sink);
                }
                self.send(now, sink);
            }
            // Events first: the key log must precede the messages that its keys open.
            while let Some(event) = self.device.poll_event() {
                sink.handle_event(event);
            }
            while let Some(transmit) = self.device.poll_transmit() {
                sink.send_message(transmit.path.destination, transmit.ds, transmit.bytes());
            }
            if !has_changed {
                break;
            }
        }
    }

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

fn run_outbound(
    outbound: &mut Outbound,
    command: OutboundCommand,
    now: Now,
    sink: &mut NodeSink<'_>,
) {
    if let OutboundCommand::Install { session, .. } = &command {
        sink.add_session(session);
    }
    outbound.handle_command(command, now.boot_ns);
}

/// Returns `peer` as node `number` configures it.
fn peer_change(peer: &NodePlan, key: &[u8; 32], plan: &Plan, number: usize) -> PeerChange {
    // A node reaches the networks of all others through the hub.
    let addresses = if number == 0 {
        peer.addresses.clone()
    } else {
        let others = plan.nodes.iter().enumerate().filter(|(other, _)| *other != number);
        others.flat_map(|(_, node)| node.addresses.iter().copied()).collect()
    };
    PeerChange {
        endpoint: Some(peer.endpoint),
        replace_allowed_ips: true,
        add_allowed_ips: addresses,
        ..PeerChange::new(public_key(key))
    }
}
