//! A run: packets of a capture through two or more ends, in virtual time.
//!
//! In: packets with the times at which they were captured. Out: the verdict on order, batches,
//! counts. Drops: the core's own and the wire's, all counted. Order: events happen in order of
//! time; at one moment first what arrives, then timers, then drains, then happenings.
//! Time: virtual. It never goes back, whatever the capture says.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    net::SocketAddr,
};

use pyfw_core::{
    aead::Aead,
    frame::{Frame, NO_PEER},
    stage_api::Direction,
    time::{Now, SECOND_NS},
    wireguard::{allowed_ips::AllowedIps, peer::PeerId},
};

use crate::{
    judge::{FlowCounts, FlowKey, Judge},
    network::{Connection, Network, NetworkPlan, Speaker},
    node::Node,
    plan::{Fate, NodeCounts, Plan, Point, SentBatch, TimelineAction, TimelineEvent},
    random::Seeded,
    recorder::Recorder,
    tap::Tap,
    wire::Impairer,
};

/// The virtual boot time of the first packet: what comes before it has room.
const START_NS: u64 = 1000 * SECOND_NS;
/// How long before it the ends meet, where they do.
const MEET_BEFORE_NS: u64 = SECOND_NS;
/// Of a data message's counter, in which the low byte is the first (whitepaper §5.4.6).
const COUNTER_OFFSET: usize = 8;
/// After the last packet, for stages that hold frames for a tick.
const HOLDING_NS: u64 = 60 * SECOND_NS;
/// Super-packets of one receive drain, as the engine's receiver.
const RECEIVE_MESSAGES: usize = 4;

/// What came of a run.
pub struct Outcome {
    /// Packets that entered.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets that no end's addresses cover; they entered at the first.
    pub unplaced: u64,
    /// Virtual time from the first packet to the last event.
    pub duration_ns: u64,
    /// Each end's name and counts.
    pub ends: Vec<(String, NodeCounts)>,
    /// Each flow's verdict.
    pub flows: Vec<(FlowKey, FlowCounts)>,
    /// Batches by connection.
    pub connections: BTreeMap<(SocketAddr, SocketAddr), Connection>,
    /// The first batches.
    pub batches: Vec<SentBatch>,
    /// The first marks.
    pub points: Vec<Point>,
    /// The first fates.
    pub fates: Vec<Fate>,
    /// What the wire did, and how often: by end.
    pub fate_counts: BTreeMap<(usize, &'static str), u64>,
    /// Handshake messages and keepalives sent; they are not among the batches counted.
    pub control_messages: u64,
    /// Whether `keep` left something out.
    pub is_truncated: bool,
}

/// The world of one run.
pub struct Run {
    ends: Vec<Node>,
    network: Network,
    judge: Judge,
    placement: AllowedIps,
    happenings: std::iter::Peekable<std::vec::IntoIter<TimelineEvent>>,
    /// When each end's drain ends, and what is in it.
    drains: Vec<Option<DrainSoFar>>,
    plan: Plan,
    first_time_ns: Option<u64>,
    now: Now,
    packets: u64,
    bytes: u64,
    unplaced: u64,
    /// Nothing is due before this, as far as was known when it was last worked out; what is put
    /// on for an earlier moment lowers it.
    next_ns: u64,
    /// The source placed last, and where.
    last_placed: Option<(u8, [u8; 16], usize)>,
}

/// The end whose TUN a frame entered. A hub's peers are the other ends, in their order; theirs is the
/// hub. What a stage made entered nowhere: it counts as its own end's.
fn sender_of(end: usize, frame: &Frame) -> usize {
    match frame.peer {
        NO_PEER => end,
        peer if end == 0 => peer as usize + 1,
        _ => 0,
    }
}

struct DrainSoFar {
    ends_at_ns: u64,
    frames: usize,
    bytes: usize,
}

impl Run {
    /// A world in which nothing has happened yet. `cipher` gives a transport cipher each time it
    /// is called; `record` is where a pcapng goes, and whether it holds the secrets.
    ///
    /// # Errors
    /// What the record says of its first bytes.
    pub fn new(
        plan: Plan,
        mut cipher: impl FnMut() -> Box<dyn Aead>,
        record: Option<(Box<dyn Write + Send>, bool)>,
    ) -> io::Result<Self> {
        let recorder =
            record.map(|(output, secrets)| Recorder::new(output, secrets)).transpose()?;
        let mut secrets = Seeded::new(plan.seed, u64::MAX);
        let keys: Vec<[u8; 32]> = plan
            .ends
            .iter()
            .map(|_| {
                let mut key = [0; 32];
                pyfw_core::wireguard::device::Entropy::fill(&mut secrets, &mut key);
                key
            })
            .collect();
        let boot_ns = START_NS - MEET_BEFORE_NS;
        let now = Now { boot_ns, unix_ns: plan.start_unix_ns - MEET_BEFORE_NS };
        let mut placement = AllowedIps::default();
        for (number, end) in plan.ends.iter().enumerate() {
            for &prefix in &end.addresses {
                placement.insert(prefix, PeerId(number as u32));
            }
        }
        let mut ends: Vec<Node> = (0..plan.ends.len())
            .map(|number| Node::new(&plan, number, [cipher(), cipher()], &keys, now))
            .collect();
        ends.iter_mut().for_each(Node::log_keys);
        let impairers = plan.ends.iter().enumerate().map(|(number, end)| {
            Impairer::new(end.impairment, number, Seeded::new(plan.seed, 1000 + number as u64))
        });
        let mut network = Network::new(NetworkPlan {
            impairers: impairers.collect(),
            addresses: plan.ends.iter().map(|end| end.endpoint).collect(),
            rule: plan.rule,
            max_segments: plan.max_segments,
            tap: (plan.keep != 0 || recorder.is_some()).then(|| Tap::new(cipher())),
            keep: plan.keep,
            keep_last: !plan.happenings.is_empty(),
            start_ns: START_NS,
            recorder,
            unix_minus_boot_ns: plan.start_unix_ns - START_NS,
        });
        network.now_ns = boot_ns;
        let mut run = Self {
            drains: ends.iter().map(|_| None).collect(),
            ends,
            network,
            judge: Judge::new(plan.keep),
            placement,
            happenings: plan.happenings.clone().into_iter().peekable(),
            first_time_ns: None,
            now,
            packets: 0,
            bytes: 0,
            unplaced: 0,
            next_ns: 0,
            last_placed: None,
            plan,
        };
        run.meet();
        Ok(run)
    }

    fn meet(&mut self) {
        for end in 0..self.ends.len() {
            self.speak(end, |end, now, speaker| {
                end.flush(now, speaker);
            });
        }
        if self.plan.handshake_before {
            for end in 1..self.ends.len() {
                self.speak(end, |end, now, speaker| end.want_handshakes(now, speaker));
            }
        }
        self.deliver();
        self.advance(START_NS);
    }

    /// One packet of the capture, from its IP header on.
    pub fn packet(&mut self, time_ns: u64, bytes: &[u8]) {
        let first_ns = *self.first_time_ns.get_or_insert(time_ns);
        // A clock that went back gives no time to go back to.
        let at_ns = START_NS.saturating_add(time_ns.saturating_sub(first_ns)).max(self.now.boot_ns);
        self.advance(at_ns);
        self.packets += 1;
        self.bytes += bytes.len() as u64;
        let end = self.place(bytes);
        if let Some(frame) = self.ends[end].read(bytes) {
            self.judge.sent(end, &frame, &bytes[..frame.length as usize], self.network.time_ns());
        }
        let limits = self.plan.drain;
        let drain = self.drains[end].get_or_insert(DrainSoFar {
            ends_at_ns: at_ns.saturating_add(limits.window_ns).saturating_add(1),
            frames: 0,
            bytes: 0,
        });
        drain.frames += 1;
        drain.bytes += bytes.len();
        self.next_ns = self.next_ns.min(drain.ends_at_ns);
        if drain.frames >= limits.frames || drain.bytes >= limits.bytes {
            self.drain(end);
        }
    }

    /// The end behind which the packet's source lives.
    fn place(&mut self, bytes: &[u8]) -> usize {
        let mut source = [0; 16];
        let version = match bytes.first().map(|b| b >> 4) {
            Some(4) if bytes.len() >= 20 => {
                source[..4].copy_from_slice(&bytes[12..16]);
                4
            }
            Some(6) if bytes.len() >= 40 => {
                source.copy_from_slice(&bytes[8..24]);
                6
            }
            _ => 0,
        };
        if let Some((last_version, last, end)) = self.last_placed {
            if (last_version, last) == (version, source) {
                return end;
            }
        }
        match self.placement.peer_for(version, &source) {
            Some(PeerId(end)) => {
                self.last_placed = Some((version, source, end as usize));
                end as usize
            }
            None => {
                self.unplaced += 1;
                0
            }
        }
    }

    /// Lets happen all that is due up to a moment.
    fn advance(&mut self, until_ns: u64) {
        if until_ns < self.next_ns {
            return self.set_time(until_ns);
        }
        loop {
            let timeouts = self.ends.iter().filter_map(Node::next_timeout_ns);
            let ticks = self.ends.iter().filter_map(Node::next_tick_ns);
            let drains = self.drains.iter().flatten().map(|drain| drain.ends_at_ns);
            let event = self.happenings.peek().map(|h| START_NS.saturating_add(h.at_ns));
            let next = timeouts
                .chain(ticks)
                .chain(drains)
                .chain(event)
                .chain(self.network.wire.next_due_ns());
            self.next_ns = next.min().unwrap_or(u64::MAX);
            if self.next_ns > until_ns {
                break;
            }
            self.set_time(self.next_ns);
            self.happen();
        }
        self.set_time(until_ns);
    }

    fn set_time(&mut self, boot_ns: u64) {
        let boot_ns = boot_ns.max(self.now.boot_ns);
        self.now.unix_ns += boot_ns - self.now.boot_ns;
        self.now.boot_ns = boot_ns;
        self.network.now_ns = boot_ns;
    }

    fn happen(&mut self) {
        let now_ns = self.now.boot_ns;
        while let Some(datagram) = self.network.wire.take(now_ns) {
            self.network.land(datagram);
        }
        self.deliver();
        for end in 0..self.ends.len() {
            if self.ends[end].next_timeout_ns().is_some_and(|at_ns| at_ns <= now_ns) {
                self.speak(end, |end, now, speaker| end.timeout(now, speaker));
            }
            if self.ends[end].next_tick_ns().is_some_and(|at_ns| at_ns <= now_ns) {
                self.ends[end].tick(self.now);
                self.serve_stages(end);
            }
            if self.drains[end].as_ref().is_some_and(|drain| drain.ends_at_ns <= now_ns) {
                self.drain(end);
            }
        }
        while let Some(event) =
            self.happenings.next_if(|h| START_NS.saturating_add(h.at_ns) <= now_ns)
        {
            self.apply(event);
        }
        self.deliver();
    }

    fn apply(&mut self, TimelineEvent { end, what, .. }: TimelineEvent) {
        match what {
            TimelineAction::Roam(to) => {
                self.ends[end].address = to;
                self.network.move_end(end, to);
            }
            TimelineAction::Rekey => {
                self.speak(end, |end, now, speaker| end.want_handshakes(now, speaker))
            }
            TimelineAction::Replay | TimelineAction::Forge => {
                if let Some((target, mut bytes)) = self.network.last_data[end].clone() {
                    let mut told = "replayed";
                    if matches!(what, TimelineAction::Forge) {
                        // A counter that is still to come: an old one would be a replay.
                        bytes[COUNTER_OFFSET + 3] ^= 1;
                        told = "forged";
                    }
                    self.network.inject(end, self.ends[end].address, &target, bytes, told);
                }
            }
        }
    }

    fn drain(&mut self, end: usize) {
        self.drains[end] = None;
        // What follows may be due at any moment.
        self.next_ns = 0;
        self.speak(end, |end, now, speaker| end.drain(now, speaker));
        self.serve_stages(end);
        self.deliver();
    }

    /// What an end's stages emitted between batches goes on; what they ask for may be due at any
    /// moment.
    fn serve_stages(&mut self, end: usize) {
        if self.ends[end].next_tick_ns().is_some() {
            self.next_ns = 0;
        }
        while self.ends[end].has_pending(Direction::Outbound)
            || self.ends[end].has_pending(Direction::Inbound)
        {
            if self.ends[end].has_pending(Direction::Inbound) {
                let time_ns = self.network.time_ns();
                let (batch, buffer) = self.ends[end].write_pending(self.now);
                for frame in &batch.frames {
                    let from = sender_of(end, frame);
                    self.judge.arrived(from, frame, batch, buffer, time_ns);
                }
            }
            if self.ends[end].has_pending(Direction::Outbound) {
                self.speak(end, |end, now, speaker| end.send_pending(now, speaker));
            }
        }
    }

    /// Lets an end act, and groups what it sent where the rule is not pyfw's.
    fn speak(&mut self, end: usize, act: impl FnOnce(&mut Node, Now, &mut Speaker<'_>)) {
        let address = self.ends[end].address;
        let mut speaker = Speaker { network: &mut self.network, judge: &self.judge, end, address };
        act(&mut self.ends[end], self.now, &mut speaker);
        self.network.end_drain(end, address, &self.judge);
    }

    /// Lets the ends read their inboxes until all are empty.
    fn deliver(&mut self) {
        let unread =
            |network: &Network| network.inboxes.iter().position(|inbox| !inbox.received.is_empty());
        while let Some(end) = unread(&self.network) {
            let mut inbox = std::mem::take(&mut self.network.inboxes[end]);
            let (address, time_ns) = (self.ends[end].address, self.network.time_ns());
            for received in inbox.received.chunks(RECEIVE_MESSAGES) {
                let (batch, buffer) = self.ends[end].open(received, &mut inbox.buffer, self.now);
                for frame in &batch.frames {
                    self.judge.arrived(sender_of(end, frame), frame, batch, buffer, time_ns);
                }
                let mut speaker =
                    Speaker { network: &mut self.network, judge: &self.judge, end, address };
                self.ends[end].answer(&inbox.buffer, self.now, &mut speaker);
                self.serve_stages(end);
            }
            self.network.end_drain(end, address, &self.judge);
            inbox.buffer.clear();
            inbox.received.clear();
            if self.network.inboxes[end].received.is_empty() {
                self.network.inboxes[end] = inbox;
            }
        }
    }

    /// When stages want the time for frames that they hold.
    fn next_release_ns(&self, patience_ns: u64) -> Option<u64> {
        let holding = self.ends.iter().filter(|end| end.is_held_from());
        holding.filter_map(Node::next_tick_ns).min().filter(|&at_ns| at_ns <= patience_ns)
    }

    /// Ends the run: what is under way arrives, then all is counted.
    ///
    /// # Errors
    /// What the record said of its bytes.
    pub fn finish(mut self) -> io::Result<Outcome> {
        for end in 0..self.ends.len() {
            if self.drains[end].is_some() {
                self.drain(end);
            }
        }
        // What is on the wire arrives; what stages hold, they get some time to let go of.
        let patience_ns = self.now.boot_ns.saturating_add(HOLDING_NS);
        while let Some(due_ns) =
            self.network.wire.next_due_ns().or_else(|| self.next_release_ns(patience_ns))
        {
            self.advance(due_ns);
        }
        if let Some(recorder) = self.network.recorder.take() {
            recorder.finish()?;
        }
        let is_truncated = self.network.is_truncated || self.judge.is_full();
        let (flows, points) = self.judge.finish();
        Ok(Outcome {
            packets: self.packets,
            bytes: self.bytes,
            unplaced: self.unplaced,
            duration_ns: self.now.boot_ns - START_NS,
            ends: self.ends.iter().map(|end| (end.name.clone(), end.counts())).collect(),
            flows,
            connections: self.network.take_connections(),
            batches: self.network.batches,
            points,
            fates: self.network.fates,
            fate_counts: self.network.fate_counts,
            control_messages: self.network.control_messages,
            is_truncated,
        })
    }
}
