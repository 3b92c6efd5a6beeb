//! The way from a node to the wire: batches by the plan's rule, recorded and impaired.

use std::net::SocketAddr;

use pyfw_core::{
    outbound::gso_batch::{GsoBatch, Target},
    packet::{
        self,
        message_header::{Class, MIN_DATA_LENGTH, classify},
    },
    wireguard::{commands::SendSession, device::Event, path::Path, peer::PeerId},
};

use crate::{
    network::Network,
    order::{FlowKey, OrderChecker},
    plan::Rule,
    result::{SentBatch, WireEvent},
    rules::{self, Datagram},
    wire::{InFlight, RecordLabel},
};

/// Where the output of one node goes.
pub(crate) struct NodeSink<'a> {
    pub(crate) network: &'a mut Network,
    pub(crate) order: &'a OrderChecker,
    pub(crate) node: usize,
    pub(crate) address: SocketAddr,
}

impl NodeSink<'_> {
    /// Sends a batch; under a rule other than pyfw's it waits for the end of the drain.
    pub(crate) fn send_batch(&mut self, batch: &GsoBatch, payload: &[u8]) {
        let target = batch.target();
        if self.network.rule != Rule::Ordered {
            let datagram = Datagram { target: *target, bytes: payload.to_vec() };
            return self.network.ungrouped.push(datagram);
        }
        self.emit(target, batch.segment_size(), payload);
    }

    /// Sends a handshake message.
    pub(crate) fn send_message(&mut self, destination: SocketAddr, ds: u8, bytes: &[u8]) {
        let target = Target { peer: PeerId(u32::MAX), path: Path::to(destination), ds };
        self.emit(&target, bytes.len(), bytes);
    }

    /// Ends a drain: groups the datagrams that wait and sends them.
    pub(crate) fn finish_drain(&mut self) {
        let datagrams = std::mem::take(&mut self.network.ungrouped);
        for group in rules::group(self.network.rule, datagrams, self.network.max_segments) {
            let payload: Vec<u8> = group.iter().flat_map(|d| &d.bytes).copied().collect();
            self.emit(&group[0].target, group[0].bytes.len(), &payload);
        }
    }

    /// Adds the key that the node sends with from now on.
    pub(crate) fn add_session(&mut self, session: &SendSession) {
        if let Some(tap) = &mut self.network.tap {
            tap.add_session(session);
        }
    }

    /// Writes the keys of a handshake to the record.
    pub(crate) fn handle_event(&mut self, event: Event) {
        if let (Event::KeyLog(keys), Some(recorder)) = (event, &mut self.network.recorder) {
            recorder.write_keys(&keys);
        }
    }

    fn emit(&mut self, target: &Target, segment_size: usize, payload: &[u8]) {
        let network = &mut *self.network;
        let destination = target.path.destination;
        if carries_packet(&payload[..segment_size.min(payload.len())]) {
            let datagrams = payload.len().div_ceil(segment_size);
            network.connections.add_batch((self.address, destination), datagrams);
            if network.keep_last_data {
                network.last_data[self.node] = Some((*target, payload[..segment_size].to_vec()));
            }
        } else {
            network.control_messages += 1;
        }
        if network.batches.len() < network.keep {
            let inner = self.inner_packets(segment_size, payload);
            self.network.batches.push(SentBatch {
                time_ns: self.network.clock.elapsed_ns(),
                node: self.node,
                source: self.address,
                destination,
                ecn: target.ds & 0b11,
                segment_size,
                lengths: payload.chunks(segment_size).map(<[u8]>::len).collect(),
                inner: inner.iter().map(|packet| packet.length).collect(),
                payload: inner.iter().map(|packet| packet.payload_length).collect(),
                flows: inner.iter().map(|packet| packet.flow).collect(),
            });
        } else if network.keep != 0 {
            network.is_truncated = true;
        }
        self.transmit(destination, target.ds, segment_size, payload);
    }

    /// Returns the inner packet of each datagram in a batch.
    fn inner_packets(&mut self, segment_size: usize, payload: &[u8]) -> Vec<InnerPacket> {
        let Some(tap) = &mut self.network.tap else { return Vec::new() };
        let packets = payload.chunks(segment_size).map(|datagram| {
            let Some(plaintext) = tap.open(datagram) else { return InnerPacket::NONE };
            let Ok(frame) = packet::parse(plaintext, 0) else { return InnerPacket::NONE };
            let flow = self.order.id(&FlowKey::new(self.node, &frame));
            InnerPacket {
                length: frame.length as usize,
                payload_length: frame.length as usize - usize::from(frame.header_length),
                flow: flow.map_or(-1, |id| id as i64),
            }
        });
        packets.collect()
    }

    /// Puts a batch on the wire.
    fn transmit(&mut self, destination: SocketAddr, ds: u8, segment_size: usize, payload: &[u8]) {
        let network = &mut *self.network;
        // Handshakes before the first packet pass unimpaired.
        let is_clean =
            network.clock.is_before_start() || network.impairers[self.node].is_transparent();
        if is_clean {
            network.enqueue(self.address, destination, ds, segment_size, payload);
        }
        if is_clean && network.recorder.is_none() {
            return;
        }
        for bytes in payload.chunks(segment_size) {
            let from_hub = self.node == 0;
            let id = self.network.record_inner(bytes, from_hub);
            let label = RecordLabel { id, from_hub, events: Vec::new() };
            let datagram = InFlight::new(self.address, destination, ds, bytes.to_vec(), label);
            let done = if is_clean { Some(datagram) } else { self.impair(datagram) };
            if let Some(datagram) = done {
                self.network.record_outer(datagram);
            }
        }
    }

    /// Passes a datagram to the impaired wire; returns it if the wire dropped it.
    fn impair(&mut self, datagram: InFlight) -> Option<InFlight> {
        let Network {
            clock,
            wire,
            impairers,
            wire_events,
            wire_event_counts,
            keep,
            is_truncated,
            ..
        } = &mut *self.network;
        let node = self.node;
        impairers[node].send(wire, clock.now().boot_ns, datagram, |number, kind| {
            *wire_event_counts.entry((node, kind)).or_default() += 1;
            if wire_events.len() < *keep {
                let time_ns = clock.elapsed_ns();
                wire_events.push(WireEvent { time_ns, node, number, kind });
            } else if *keep != 0 {
                *is_truncated = true;
            }
        })
    }
}

/// The packet in a datagram.
struct InnerPacket {
    length: usize,
    payload_length: usize,
    flow: i64,
}

impl InnerPacket {
    const NONE: Self = Self { length: 0, payload_length: 0, flow: -1 };
}

/// Whether a datagram is a data message that is not a keepalive.
fn carries_packet(datagram: &[u8]) -> bool {
    matches!(classify(datagram), Class::Data { .. }) && datagram.len() > MIN_DATA_LENGTH
}
