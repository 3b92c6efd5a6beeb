//! A run: captured packets through two or more nodes in virtual time.
//!
//! Events run in order of time; at the same time datagrams arrive first, then timers expire, then drains end,
//! then timeline events run. Time never goes back, even if the capture's does.

use std::{
    io::{self, Write},
    iter::Peekable,
    vec,
};

use pyfw_core::{
    aead::Aead,
    frame::{Frame, NO_PEER},
    stage_api::Direction,
    time::{Now, SECOND_NS},
    wireguard::device::Entropy,
};

use crate::{
    clock::{START_NS, VirtualClock},
    network::Network,
    node::Node,
    node_sink::NodeSink,
    order::OrderChecker,
    plan::{Plan, TimelineAction, TimelineEvent},
    random::Seeded,
    recorder::Recorder,
    result::RunResult,
    source_map::SourceMap,
    wire_tap::WireTap,
};

/// How long before the first packet the nodes make their sessions.
const HANDSHAKE_LEAD_NS: u64 = SECOND_NS;
/// How long after the last packet the run waits for stages that hold frames.
const HOLD_LIMIT_NS: u64 = 60 * SECOND_NS;
/// A data message's counter is little endian (whitepaper §5.4.6); changing this byte makes it a future one.
const COUNTER_BYTE: usize = 8 + 3;
/// Super-packets in one receive drain, as in the engine's receiver.
const RECEIVE_MESSAGES: usize = 4;

/// The state of one run.
pub struct Run {
    nodes: Vec<Node>,
    network: Network,
    order: OrderChecker,
    sources: SourceMap,
    timeline: Peekable<vec::IntoIter<TimelineEvent>>,
    first_time_ns: Option<u64>,
    packets: u64,
    bytes: u64,
    /// Nothing is due before this time. `advance` computes it; whatever schedules something earlier lowers
    /// it.
    next_due_ns: u64,
}

impl Run {
    /// Creates the nodes and their sessions. `cipher` returns a new transport cipher on each call; `record`
    /// is the output for a pcapng, and whether to write the keys into it.
    ///
    /// # Errors
    /// The record's first write failed.
    pub fn new(
        plan: Plan,
        mut cipher: impl FnMut() -> Box<dyn Aead>,
        record: Option<(Box<dyn Write + Send>, bool)>,
    ) -> io::Result<Self> {
        let recorder =
            record.map(|(output, secrets)| Recorder::new(output, secrets)).transpose()?;
        let mut key_source = Seeded::new(plan.seed, u64::MAX);
        let mut keys = vec![[0; 32]; plan.nodes.len()];
        keys.iter_mut().for_each(|key| key_source.fill(key));
        let mut sources = SourceMap::default();
        for (number, node) in plan.nodes.iter().enumerate() {
            node.addresses.iter().for_each(|&prefix| sources.insert(prefix, number));
        }
        let clock = VirtualClock::new(HANDSHAKE_LEAD_NS);
        let nodes = (0..plan.nodes.len())
            .map(|number| Node::new(&plan, number, [cipher(), cipher()], &keys, clock.now()))
            .collect();
        let tap = (plan.keep != 0 || recorder.is_some()).then(|| WireTap::new(cipher()));
        let mut run = Self {
            nodes,
            network: Network::new(&plan, clock, tap, recorder),
            order: OrderChecker::new(plan.keep),
            sources,
            timeline: plan.timeline.into_iter().peekable(),
            first_time_ns: None,
            packets: 0,
            bytes: 0,
            next_due_ns: 0,
        };
        run.start(plan.handshake_before);
        Ok(run)
    }

    fn start(&mut self, with_handshakes: bool) {
        for number in 0..self.nodes.len() {
            self.run_node(number, Node::flush);
        }
        if with_handshakes {
            for number in 1..self.nodes.len() {
                self.run_node(number, Node::start_handshakes);
            }
        }
        self.read_inboxes();
        self.advance(START_NS);
    }

    /// Sends one packet of the capture, which starts at its IP header.
    pub fn packet(&mut self, time_ns: u64, bytes: &[u8]) {
        let first_ns = *self.first_time_ns.get_or_insert(time_ns);
        self.advance(START_NS.saturating_add(time_ns.saturating_sub(first_ns)));
        self.packets += 1;
        self.bytes += bytes.len() as u64;
        let number = self.sources.node_for(bytes);
        let clock = self.network.clock;
        let node = &mut self.nodes[number];
        if let Some(frame) = node.push_packet(bytes, clock.now().boot_ns) {
            let packet = &bytes[..frame.length as usize];
            self.order.add_sent(number, &frame, packet, clock.elapsed_ns());
        }
        if node.drain.is_full() {
            self.read_tun(number);
        } else if let Some(due_ns) = node.drain.due_ns() {
            self.next_due_ns = self.next_due_ns.min(due_ns);
        }
    }

    /// Runs everything that is due until `until_ns`.
    fn advance(&mut self, until_ns: u64) {
        if until_ns >= self.next_due_ns {
            loop {
                self.next_due_ns = self.earliest_due_ns();
                if self.next_due_ns > until_ns {
                    break;
                }
                self.network.clock.advance_to(self.next_due_ns);
                self.run_due();
            }
        }
        self.network.clock.advance_to(until_ns);
    }

    fn earliest_due_ns(&mut self) -> u64 {
        let timeouts = self.nodes.iter().filter_map(Node::next_timeout_ns);
        let ticks = self.nodes.iter().filter_map(|node| node.stages.next_tick_ns());
        let drains = self.nodes.iter().filter_map(|node| node.drain.due_ns());
        let event = self.timeline.peek().map(due_ns);
        let arrival = self.network.wire.next_due_ns();
        timeouts.chain(ticks).chain(drains).chain(event).chain(arrival).min().unwrap_or(u64::MAX)
    }

    fn run_due(&mut self) {
        let now = self.network.clock.now();
        let is_due = |at_ns: Option<u64>| at_ns.is_some_and(|at_ns| at_ns <= now.boot_ns);
        while let Some(datagram) = self.network.wire.take(now.boot_ns) {
            self.network.deliver(datagram);
        }
        self.read_inboxes();
        for number in 0..self.nodes.len() {
            if is_due(self.nodes[number].next_timeout_ns()) {
                self.run_node(number, Node::handle_timeout);
            }
            if is_due(self.nodes[number].stages.next_tick_ns()) {
                self.nodes[number].stages.tick(now.boot_ns);
                self.forward_pending(number);
            }
            if is_due(self.nodes[number].drain.due_ns()) {
                self.read_tun(number);
            }
        }
        while let Some(event) = self.timeline.next_if(|event| due_ns(event) <= now.boot_ns) {
            self.run_event(event);
        }
        self.read_inboxes();
    }

    fn run_event(&mut self, TimelineEvent { node, action, .. }: TimelineEvent) {
        match action {
            TimelineAction::Roam(address) => {
                self.nodes[node].address = address;
                self.network.move_node(node, address);
            }
            TimelineAction::Rekey => self.run_node(node, Node::start_handshakes),
            TimelineAction::Replay => self.resend_last(node, "replayed", |_| {}),
            // A past counter would be a replay, so the forged one is still to come.
            TimelineAction::Forge => {
                self.resend_last(node, "forged", |message| message[COUNTER_BYTE] ^= 1);
            }
        }
    }

    fn resend_last(&mut self, node: usize, kind: &'static str, change: impl FnOnce(&mut [u8])) {
        if let Some((target, mut message)) = self.network.last_data[node].clone() {
            change(&mut message);
            let source = self.nodes[node].address;
            self.network.inject((node, source), &target, message, kind);
        }
    }

    fn read_tun(&mut self, number: usize) {
        // Whatever follows may be due immediately.
        self.next_due_ns = 0;
        self.run_node(number, Node::read_tun);
        self.forward_pending(number);
        self.read_inboxes();
    }

    /// Sends and writes the frames that a node's stages emitted.
    fn forward_pending(&mut self, number: usize) {
        if self.nodes[number].stages.next_tick_ns().is_some() {
            self.next_due_ns = 0;
        }
        let is_pending = |run: &Self, direction| run.nodes[number].stages.has_pending(direction);
        while is_pending(self, Direction::Outbound) || is_pending(self, Direction::Inbound) {
            if is_pending(self, Direction::Inbound) {
                let clock = self.network.clock;
                let (batch, buffer) = self.nodes[number].write_pending(clock.now());
                for frame in &batch.frames {
                    let sender = sender_of(number, frame);
                    self.order.add_arrived(sender, frame, batch, buffer, clock.elapsed_ns());
                }
            }
            if is_pending(self, Direction::Outbound) {
                self.run_node(number, Node::send_pending);
            }
        }
    }

    /// Lets the nodes read their inboxes until all are empty.
    fn read_inboxes(&mut self) {
        while let Some(number) = self.network.inboxes.iter().position(|i| !i.received.is_empty()) {
            let mut inbox = std::mem::take(&mut self.network.inboxes[number]);
            let clock = self.network.clock;
            for received in inbox.received.chunks(RECEIVE_MESSAGES) {
                let node = &mut self.nodes[number];
                let (batch, buffer) = node.read_socket(received, &mut inbox.buffer, clock.now());
                for frame in &batch.frames {
                    let sender = sender_of(number, frame);
                    self.order.add_arrived(sender, frame, batch, buffer, clock.elapsed_ns());
                }
                self.run_node_in_drain(number, |node, now, sink| {
                    node.handle_handshakes(&inbox.buffer, now, sink);
                });
                self.forward_pending(number);
            }
            self.run_node(number, |_, _, _| {});
            inbox.clear();
            // Keeps the allocation, unless more has arrived.
            if self.network.inboxes[number].received.is_empty() {
                self.network.inboxes[number] = inbox;
            }
        }
    }

    /// Runs one step of a node and ends its drain.
    fn run_node(&mut self, number: usize, step: impl FnOnce(&mut Node, Now, &mut NodeSink<'_>)) {
        self.run_node_in_drain(number, |node, now, sink| {
            step(node, now, sink);
            sink.finish_drain();
        });
    }

    fn run_node_in_drain(
        &mut self,
        number: usize,
        step: impl FnOnce(&mut Node, Now, &mut NodeSink<'_>),
    ) {
        let now = self.network.clock.now();
        let node = &mut self.nodes[number];
        let (network, order, address) = (&mut self.network, &self.order, node.address);
        step(node, now, &mut NodeSink { network, order, node: number, address });
    }

    /// Ends the run: datagrams in flight arrive, and stages may release the frames that they hold.
    ///
    /// # Errors
    /// The record could not be written.
    pub fn finish(mut self) -> io::Result<RunResult> {
        for number in 0..self.nodes.len() {
            if self.nodes[number].drain.due_ns().is_some() {
                self.read_tun(number);
            }
        }
        let limit_ns = self.network.clock.now().boot_ns.saturating_add(HOLD_LIMIT_NS);
        while let Some(due_ns) =
            self.network.wire.next_due_ns().or_else(|| self.next_release_ns(limit_ns))
        {
            self.advance(due_ns);
        }
        if let Some(recorder) = self.network.recorder.take() {
            recorder.finish()?;
        }
        let is_truncated = self.network.is_truncated || self.order.is_full();
        let (flows, points) = self.order.finish();
        Ok(RunResult {
            packets: self.packets,
            bytes: self.bytes,
            unplaced: self.sources.unplaced,
            duration_ns: self.network.clock.elapsed_ns(),
            nodes: self.nodes.iter().map(|node| (node.name.clone(), node.counts())).collect(),
            flows,
            connections: self.network.connections.finish(),
            batches: self.network.batches,
            points,
            wire_events: self.network.wire_events,
            wire_event_counts: self.network.wire_event_counts,
            control_messages: self.network.control_messages,
            is_truncated,
        })
    }

    /// The next tick of stages that hold frames, up to `limit_ns`.
    fn next_release_ns(&self, limit_ns: u64) -> Option<u64> {
        let holding = self.nodes.iter().map(|node| &node.stages).filter(|s| s.hold_frames());
        holding.filter_map(|s| s.next_tick_ns()).min().filter(|&at_ns| at_ns <= limit_ns)
    }
}

fn due_ns(event: &TimelineEvent) -> u64 {
    START_NS.saturating_add(event.at_ns)
}

/// Returns the node whose TUN a frame entered, which the receiving node `receiver` knows by the frame's peer.
/// The hub's peers are the other nodes, in order; their only peer is the hub. A frame that a stage created
/// entered nowhere, and counts as the receiver's own.
fn sender_of(receiver: usize, frame: &Frame) -> usize {
    match frame.peer {
        NO_PEER => receiver,
        peer if receiver == 0 => peer as usize + 1,
        _ => 0,
    }
}
