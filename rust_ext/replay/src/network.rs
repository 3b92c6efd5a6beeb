//! What is between the ends: batches by the rule in force, the wire, and what is kept of both.
//!
//! In: sealed datagrams as an end sends them. Out: datagrams in the inbox of the end they reach.
//! Drops: what the impairment says, and datagrams to an address where nobody is. Order: as sent,
//! unless the rule or the impairment changes it.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
};

use pyfw_core::{
    inbound::udp_ingress::Received,
    outbound::gso_batch::{GsoBatch, Target},
    packet::{
        self,
        message_header::{Class, MIN_DATA_LENGTH, classify},
    },
    wireguard::{commands::SendSession, device::Event, path::Path},
};

use crate::{
    judge::{FlowKey, Judge},
    node::NetworkSink,
    plan::{Fate, Rule, SentBatch},
    recorder::Recorder,
    rules::{self, Datagram},
    tap::{Inside, Tap},
    wire::{Impairer, InFlight, Label, Wire},
};

/// Datagrams that have reached an end and were not read yet.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub(crate) buffer: Vec<u8>,
    pub(crate) received: Vec<Received>,
}

/// What is counted of one connection (outer source and destination).
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// Sends.
    pub batches: u64,
    /// Datagrams in them.
    pub datagrams: u64,
    /// Batches by their number of datagrams; those of `MAX_SEGMENTS` or more in the last place.
    pub sizes: Vec<u64>,
}

/// The largest batch any kernel sends (UDP_MAX_SEGMENTS).
const MAX_SEGMENTS: usize = 128;

impl Connection {
    fn count(&mut self, datagrams: usize) {
        self.batches += 1;
        self.datagrams += datagrams as u64;
        self.sizes.resize(MAX_SEGMENTS + 1, 0);
        self.sizes[datagrams.min(MAX_SEGMENTS)] += 1;
    }
}

pub(crate) struct Network {
    pub(crate) wire: Wire,
    pub(crate) impairers: Vec<Impairer>,
    pub(crate) inboxes: Vec<Inbox>,
    addresses: HashMap<SocketAddr, usize>,
    rule: Rule,
    max_segments: usize,
    /// Datagrams of the drain in progress, where the rule is not pyfw's.
    pending: Vec<Datagram>,
    tap: Option<Tap>,
    keep: usize,
    pub(crate) now_ns: u64,
    pub(crate) start_ns: u64,
    connections: BTreeMap<(SocketAddr, SocketAddr), Connection>,
    /// The connection that sent last, taken out of the others.
    last_connection: Option<((SocketAddr, SocketAddr), Connection)>,
    pub(crate) batches: Vec<SentBatch>,
    pub(crate) fates: Vec<Fate>,
    /// All fates, kept or not: by end and what happened.
    pub(crate) fate_counts: BTreeMap<(usize, &'static str), u64>,
    /// Handshake messages and keepalives sent.
    pub(crate) control_messages: u64,
    pub(crate) is_truncated: bool,
    /// The last data message each end sent, for those who send it again.
    pub(crate) last_data: Vec<Option<(Target, Vec<u8>)>>,
    keep_last: bool,
    pub(crate) recorder: Option<Recorder>,
    unix_minus_boot_ns: u64,
}

/// What an [`Network`] is made of.
pub(crate) struct NetworkPlan {
    pub(crate) impairers: Vec<Impairer>,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) rule: Rule,
    pub(crate) max_segments: usize,
    pub(crate) tap: Option<Tap>,
    pub(crate) keep: usize,
    pub(crate) keep_last: bool,
    pub(crate) start_ns: u64,
    pub(crate) recorder: Option<Recorder>,
    /// The wall clock less the virtual boot clock.
    pub(crate) unix_minus_boot_ns: u64,
}

impl Network {
    pub(crate) fn new(plan: NetworkPlan) -> Self {
        let ends = plan.addresses.len();
        Self {
            wire: Wire::default(),
            impairers: plan.impairers,
            inboxes: (0..ends).map(|_| Inbox::default()).collect(),
            addresses: plan.addresses.into_iter().enumerate().map(|(i, a)| (a, i)).collect(),
            rule: plan.rule,
            max_segments: plan.max_segments,
            pending: Vec::new(),
            tap: plan.tap,
            keep: plan.keep,
            now_ns: plan.start_ns,
            start_ns: plan.start_ns,
            connections: BTreeMap::new(),
            last_connection: None,
            batches: Vec::new(),
            fates: Vec::new(),
            fate_counts: BTreeMap::new(),
            control_messages: 0,
            is_truncated: false,
            last_data: vec![None; ends],
            keep_last: plan.keep_last,
            recorder: plan.recorder,
            unix_minus_boot_ns: plan.unix_minus_boot_ns,
        }
    }

    /// Where an end is reached from now on; its old address leads nowhere.
    pub(crate) fn move_end(&mut self, end: usize, to: SocketAddr) {
        self.addresses.retain(|_, known| *known != end);
        self.addresses.insert(to, end);
    }

    /// All that was counted of connections.
    pub(crate) fn take_connections(&mut self) -> BTreeMap<(SocketAddr, SocketAddr), Connection> {
        self.connections.extend(self.last_connection.take());
        std::mem::take(&mut self.connections)
    }

    /// Virtual nanoseconds since the first packet; what came before it counts as 0.
    pub(crate) fn time_ns(&self) -> u64 {
        self.now_ns.saturating_sub(self.start_ns)
    }

    /// Ends a drain: groups what it gave, where the rule is not pyfw's own.
    pub(crate) fn end_drain(&mut self, end: usize, source: SocketAddr, judge: &Judge) {
        let pending = std::mem::take(&mut self.pending);
        for group in rules::group(self.rule, pending, self.max_segments) {
            let payload: Vec<u8> = group.iter().flat_map(|d| &d.bytes).copied().collect();
            let size = group[0].bytes.len();
            self.emit(end, source, &group[0].target, size, &payload, judge);
        }
    }

    /// Sends one batch.
    #[allow(clippy::too_many_arguments)] // a batch, its way, and who knows its flows
    fn emit(
        &mut self,
        end: usize,
        source: SocketAddr,
        target: &Target,
        segment_size: usize,
        payload: &[u8],
        judge: &Judge,
    ) {
        let destination = target.path.destination;
        if carries_packet(&payload[..segment_size.min(payload.len())]) {
            self.count((source, destination), payload.len().div_ceil(segment_size));
            if self.keep_last {
                self.last_data[end] = Some((*target, payload[..segment_size].to_vec()));
            }
        } else {
            self.control_messages += 1;
        }
        if self.batches.len() < self.keep {
            let found = self.look_inside(end, segment_size, payload, judge);
            self.batches.push(SentBatch {
                time_ns: self.time_ns(),
                end,
                source,
                destination,
                ecn: target.ds & 0b11,
                segment_size,
                lengths: payload.chunks(segment_size).map(<[u8]>::len).collect(),
                inner: found.iter().map(|inside| inside.packet).collect(),
                payload: found.iter().map(|inside| inside.payload).collect(),
                flows: found.iter().map(|inside| inside.flow).collect(),
            });
        } else if self.keep != 0 {
            self.is_truncated = true;
        }
        self.transmit(end, source, destination, target.ds, segment_size, payload);
    }

    fn count(&mut self, way: (SocketAddr, SocketAddr), datagrams: usize) {
        match &mut self.last_connection {
            Some((known, connection)) if *known == way => connection.count(datagrams),
            last => {
                let mut connection = self.connections.remove(&way).unwrap_or_default();
                connection.count(datagrams);
                if let Some((key, before)) = last.replace((way, connection)) {
                    self.connections.insert(key, before);
                }
            }
        }
    }

    /// What is in each datagram of a batch.
    fn look_inside(
        &mut self,
        end: usize,
        segment_size: usize,
        payload: &[u8],
        judge: &Judge,
    ) -> Vec<Found> {
        let Some(tap) = &mut self.tap else { return Vec::new() };
        let datagrams = payload.chunks(segment_size).map(|datagram| {
            let Inside::Packet(text) = tap.look(datagram) else { return Found::NOTHING };
            let Ok(frame) = packet::parse(text, 0) else { return Found::NOTHING };
            Found {
                packet: frame.length as usize,
                payload: frame.length as usize - usize::from(frame.header_length),
                flow: judge.id(&FlowKey::of(end, &frame)).map_or(-1, |id| id as i64),
            }
        });
        datagrams.collect()
    }

    /// Gives a batch to the wire.
    fn transmit(
        &mut self,
        end: usize,
        source: SocketAddr,
        destination: SocketAddr,
        ds: u8,
        segment_size: usize,
        payload: &[u8],
    ) {
        // The ends meet over a clean wire.
        let is_clean = self.now_ns < self.start_ns || self.impairers[end].is_transparent();
        if is_clean {
            self.arrive(source, destination, ds, segment_size, payload);
        }
        if is_clean && self.recorder.is_none() {
            return;
        }
        for bytes in payload.chunks(segment_size) {
            let id = self.record_inside(bytes, end == 0);
            let label = Label { id, by_hub: end == 0, fates: Vec::new() };
            let datagram = InFlight::new(source, destination, ds, bytes.to_vec(), label);
            let done = if is_clean { Some(datagram) } else { self.impair(end, datagram) };
            if let Some(datagram) = done {
                self.record(datagram);
            }
        }
    }

    /// Lets the wire decide over a datagram; returns one that will not arrive.
    fn impair(&mut self, end: usize, datagram: InFlight) -> Option<InFlight> {
        let time_ns = self.time_ns();
        let Self { wire, impairers, fates, fate_counts, keep, is_truncated, now_ns, .. } = self;
        impairers[end].send(wire, *now_ns, datagram, |fate| {
            *fate_counts.entry((end, fate.what)).or_default() += 1;
            if fates.len() < *keep {
                fates.push(Fate { time_ns, ..fate });
            } else if *keep != 0 {
                *is_truncated = true;
            }
        })
    }

    /// Writes down the packet in a datagram that is sent; returns the number it has in the record.
    fn record_inside(&mut self, bytes: &[u8], by_hub: bool) -> u64 {
        let time_ns = self.unix_ns();
        let Some(recorder) = &mut self.recorder else { return 0 };
        let inner = match self.tap.as_mut().map(|tap| tap.look(bytes)) {
            Some(Inside::Packet(text)) => {
                packet::parse(text, 0).ok().map(|frame| &text[..frame.length as usize])
            }
            _ => None,
        };
        recorder.inner(time_ns, inner, by_hub)
    }

    /// Writes down a datagram as it arrives, or what became of it instead.
    fn record(&mut self, mut datagram: InFlight) {
        let time_ns = self.unix_ns();
        let Some(recorder) = &mut self.recorder else { return };
        if !self.addresses.contains_key(&datagram.destination) {
            datagram.label.fates.push("unreachable");
        }
        recorder.outer(time_ns, &datagram);
    }

    fn unix_ns(&self) -> u64 {
        self.now_ns.saturating_add(self.unix_minus_boot_ns)
    }

    /// A datagram has come to the end of the wire.
    pub(crate) fn land(&mut self, datagram: InFlight) {
        let InFlight { source, destination, ds, ref bytes, .. } = datagram;
        self.arrive(source, destination, ds, bytes.len(), bytes);
        self.record(datagram);
    }

    /// Somebody on the wire sends a datagram in an end's name.
    pub(crate) fn inject(
        &mut self,
        end: usize,
        source: SocketAddr,
        target: &Target,
        bytes: Vec<u8>,
        what: &'static str,
    ) {
        let by_hub = end == 0;
        let id = self.recorder.as_mut().map_or(0, |recorder| recorder.inner(0, None, by_hub));
        let label = Label { id, by_hub, fates: vec![what] };
        self.land(InFlight::new(source, target.path.destination, target.ds, bytes, label));
    }

    /// Puts datagrams of one length into the inbox of whoever is there. Datagrams that follow one
    /// another are one buffer, as with UDP_GRO.
    fn arrive(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        ds: u8,
        segment_size: usize,
        payload: &[u8],
    ) {
        let Some(&end) = self.addresses.get(&destination) else { return };
        let inbox = &mut self.inboxes[end];
        let offset = inbox.buffer.len() as u32;
        let length = payload.len() as u32;
        inbox.buffer.extend_from_slice(payload);
        if let Some(last) = inbox.received.last_mut() {
            let joins = last.from.destination == source
                && last.ds == ds
                && last.length % last.segment_size == 0
                && segment_size == payload.len()
                && length <= last.segment_size
                && last.length + length <= 65_507
                && last.length / last.segment_size < 64;
            if joins {
                last.length += length;
                return;
            }
        }
        inbox.received.push(Received {
            offset,
            length,
            segment_size: segment_size as u32,
            from: Path::to(source),
            ds,
            truncated: false,
            waited_ns: 0,
        });
    }
}

/// What is in a datagram: bytes of the packet and of its payload, and its flow.
struct Found {
    packet: usize,
    payload: usize,
    flow: i64,
}

impl Found {
    const NOTHING: Self = Self { packet: 0, payload: 0, flow: -1 };
}

/// Whether a datagram is a data message with something in it.
fn carries_packet(datagram: &[u8]) -> bool {
    matches!(classify(datagram), Class::Data { .. }) && datagram.len() > MIN_DATA_LENGTH
}

/// One end speaking into the network.
pub(crate) struct Speaker<'a> {
    pub(crate) network: &'a mut Network,
    pub(crate) judge: &'a Judge,
    pub(crate) end: usize,
    pub(crate) address: SocketAddr,
}

impl NetworkSink for Speaker<'_> {
    fn batch(&mut self, batch: &GsoBatch, payload: &[u8]) {
        let target = batch.target();
        if self.network.rule != Rule::Ordered {
            let bytes = payload.to_vec();
            return self.network.pending.push(Datagram { target: *target, bytes });
        }
        let size = batch.segment_size();
        self.network.emit(self.end, self.address, target, size, payload, self.judge);
    }

    fn message(&mut self, destination: SocketAddr, ds: u8, bytes: &[u8]) {
        let peer = pyfw_core::wireguard::peer::PeerId(u32::MAX);
        let target = Target { peer, path: Path::to(destination), ds };
        self.network.emit(self.end, self.address, &target, bytes.len(), bytes, self.judge);
    }

    fn session(&mut self, session: &SendSession) {
        if let Some(tap) = &mut self.network.tap {
            tap.learn(session);
        }
    }

    fn event(&mut self, event: Event) {
        if let Event::KeyLog(secrets) = event {
            if let Some(recorder) = &mut self.network.recorder {
                recorder.secrets(&secrets);
            }
        }
    }
}
