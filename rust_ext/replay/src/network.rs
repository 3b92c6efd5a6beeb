//! The virtual network between the nodes: addresses, the wire, inboxes, and what is kept for the result.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
};

use pyfw_core::{outbound::gso_batch::Target, packet};

use crate::{
    clock::VirtualClock,
    connections::Connections,
    inbox::Inbox,
    plan::{Plan, Rule},
    recorder::Recorder,
    result::{SentBatch, WireEvent},
    rules::Datagram,
    wire::{Impairer, InFlight, RecordLabel, Wire},
    wire_tap::WireTap,
};

pub(crate) struct Network {
    pub(crate) clock: VirtualClock,
    pub(crate) wire: Wire,
    pub(crate) impairers: Vec<Impairer>,
    pub(crate) inboxes: Vec<Inbox>,
    /// Node at each outer address.
    addresses: HashMap<SocketAddr, usize>,
    pub(crate) rule: Rule,
    pub(crate) max_segments: usize,
    /// Datagrams of the current drain, under a rule that groups them at its end.
    pub(crate) ungrouped: Vec<Datagram>,
    /// Present only if the result or the record needs inner packets.
    pub(crate) tap: Option<WireTap>,
    pub(crate) recorder: Option<Recorder>,
    pub(crate) connections: Connections,
    pub(crate) control_messages: u64,
    pub(crate) keep: usize,
    pub(crate) batches: Vec<SentBatch>,
    pub(crate) wire_events: Vec<WireEvent>,
    pub(crate) wire_event_counts: BTreeMap<(usize, &'static str), u64>,
    pub(crate) is_truncated: bool,
    pub(crate) keep_last_data: bool,
    /// The last data message of each node, which timeline events repeat or forge.
    pub(crate) last_data: Vec<Option<(Target, Vec<u8>)>>,
}

impl Network {
    pub(crate) fn new(
        plan: &Plan,
        clock: VirtualClock,
        tap: Option<WireTap>,
        recorder: Option<Recorder>,
    ) -> Self {
        let nodes = || plan.nodes.iter().enumerate();
        Self {
            clock,
            wire: Wire::default(),
            impairers: nodes()
                .map(|(i, node)| Impairer::new(node.impairment, plan.seed, i))
                .collect(),
            inboxes: nodes().map(|_| Inbox::default()).collect(),
            addresses: nodes().map(|(number, node)| (node.endpoint, number)).collect(),
            rule: plan.rule,
            max_segments: plan.max_segments,
            ungrouped: Vec::new(),
            tap,
            recorder,
            connections: Connections::default(),
            control_messages: 0,
            keep: plan.keep,
            batches: Vec::new(),
            wire_events: Vec::new(),
            wire_event_counts: BTreeMap::new(),
            is_truncated: false,
            keep_last_data: !plan.timeline.is_empty(),
            last_data: vec![None; plan.nodes.len()],
        }
    }

    /// Moves a node to another address; its old address becomes unreachable.
    pub(crate) fn move_node(&mut self, node: usize, address: SocketAddr) {
        self.addresses.retain(|_, known| *known != node);
        self.addresses.insert(address, node);
    }

    /// Delivers a datagram that has passed the wire.
    pub(crate) fn deliver(&mut self, datagram: InFlight) {
        let InFlight { source, destination, ds, ref bytes, .. } = datagram;
        self.enqueue(source, destination, ds, bytes.len(), bytes);
        self.record_outer(datagram);
    }

    /// Delivers a datagram that an attacker on the wire sends with a node's source address.
    pub(crate) fn inject(
        &mut self,
        (node, source): (usize, SocketAddr),
        target: &Target,
        bytes: Vec<u8>,
        kind: &'static str,
    ) {
        let from_hub = node == 0;
        let id =
            self.recorder.as_mut().map_or(0, |recorder| recorder.write_inner(0, None, from_hub));
        let label = RecordLabel { id, from_hub, events: vec![kind] };
        self.deliver(InFlight::new(source, target.path.destination, target.ds, bytes, label));
    }

    /// Puts datagrams of one length into the inbox of the node at `destination`, if there is one.
    pub(crate) fn enqueue(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        ds: u8,
        segment_size: usize,
        payload: &[u8],
    ) {
        if let Some(&node) = self.addresses.get(&destination) {
            self.inboxes[node].push(source, ds, segment_size, payload);
        }
    }

    /// Records the packet in a datagram; returns the packet's number in the record.
    pub(crate) fn record_inner(&mut self, datagram: &[u8], from_hub: bool) -> u64 {
        let Some(recorder) = &mut self.recorder else { return 0 };
        let plaintext = self.tap.as_mut().and_then(|tap| tap.open(datagram));
        let inner = plaintext.and_then(|plaintext| {
            packet::parse(plaintext, 0).ok().map(|frame| &plaintext[..frame.length as usize])
        });
        recorder.write_inner(self.clock.now().unix_ns, inner, from_hub)
    }

    /// Records a datagram when it arrives or is dropped.
    pub(crate) fn record_outer(&mut self, mut datagram: InFlight) {
        let Some(recorder) = &mut self.recorder else { return };
        if !self.addresses.contains_key(&datagram.destination) {
            datagram.label.events.push("unreachable");
        }
        recorder.write_outer(self.clock.now().unix_ns, &datagram);
    }
}
