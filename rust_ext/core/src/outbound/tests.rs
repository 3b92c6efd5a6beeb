use std::sync::Mutex;

use super::*;
use crate::{
    aead::{Slot, TransportKey},
    packet::{build::Build, virtio::VIRTIO_HEADER_LENGTH},
    time::SECOND_NS,
    wireguard::{allowed_ips::AllowedIps, commands::SendSession, path::Path, peer::Activity},
};

const PEER: PeerId = PeerId(0);

/// The key (its first byte) and counter of each slot that was sealed.
type Sealed = Arc<Mutex<Vec<(u8, u64)>>>;

struct Recorder(Sealed);

impl Aead for Recorder {
    fn name(&self) -> &'static str {
        "recorder"
    }

    fn seal(&mut self, key: &TransportKey, _: &mut [u8], slots: &[Slot]) {
        self.0.lock().unwrap().extend(slots.iter().map(|slot| (key[0], slot.counter)));
    }

    fn open(&mut self, _: &TransportKey, _: &mut [u8], _: &[Slot], _: &mut [bool]) {}
}

fn outbound(buffers: usize) -> (Outbound, Sealed) {
    let sealed = Sealed::default();
    let aead = Box::new(Recorder(Arc::clone(&sealed)));
    let mut path = Outbound::new(GsoEgress::new(64, buffers), aead, 1420, Arc::default());
    path.handle_command(
        OutboundCommand::AddPeer { peer: PEER, activity: Activity::default().into() },
        1,
    );
    path.handle_command(set_path("192.0.2.1:51820"), 1);
    (path, sealed)
}

fn set_path(destination: &str) -> OutboundCommand {
    OutboundCommand::SetPath(PEER, Some(Path::to(destination.parse().unwrap())))
}

fn install(key: u8, confirm: bool) -> OutboundCommand {
    let session = SendSession {
        key: [key; 32].into(),
        remote_index: key.into(),
        local_index: key.into(),
        created_ns: 1,
        initiator: true,
    };
    OutboundCommand::Install { peer: PEER, session, confirm }
}

/// The receiver index and the counter of each datagram in the list, in order.
fn messages(path: &Outbound) -> Vec<(u8, u64)> {
    let mut messages = Vec::new();
    for (batch, mut payload) in path.gso().batches() {
        for length in batch.lengths() {
            let (message, rest) = payload.split_at(length);
            messages.push((message[4], u64::from_le_bytes(message[8..16].try_into().unwrap())));
            payload = rest;
        }
    }
    messages
}

#[test]
fn a_counter_is_used_with_the_keys_it_was_drawn_for() {
    let (mut path, sealed) = outbound(8);
    for command in [install(1, true), OutboundCommand::Keepalive(PEER), install(2, true)] {
        path.handle_command(command, 2);
    }
    path.finish(2);
    assert_eq!(messages(&path), [(1, 0), (1, 1), (2, 0)]);
    assert_eq!(*sealed.lock().unwrap(), [(1, 0), (1, 1), (2, 0)]);
}

#[test]
fn messages_are_sealed_before_their_keys_are_erased() {
    for command in [OutboundCommand::Erase(PEER), OutboundCommand::RemovePeer(PEER)] {
        let (mut path, sealed) = outbound(8);
        path.handle_command(install(1, true), 2);
        path.handle_command(command, 2);
        path.finish(2);
        assert_eq!(messages(&path), [(1, 0)]);
        assert_eq!(*sealed.lock().unwrap(), [(1, 0)]);
    }
}

#[test]
fn a_path_that_changes_back_keeps_the_order() {
    let (mut path, _) = outbound(8);
    path.handle_command(install(1, true), 2);
    for (destination, counter) in [("198.51.100.1:1", 1), ("192.0.2.1:51820", 2)] {
        path.handle_command(set_path(destination), 2);
        path.handle_command(OutboundCommand::Keepalive(PEER), 2);
        assert_eq!(messages(&path).last(), Some(&(1, counter)));
    }
    assert_eq!(messages(&path), [(1, 0), (1, 1), (1, 2)]);
}

#[test]
fn a_confirmation_waits_for_room_in_the_list() {
    let (mut path, _) = outbound(1);
    path.handle_command(install(1, true), 2);
    path.handle_command(set_path("198.51.100.1:1"), 2);
    path.handle_command(install(2, true), 2);
    while !path.flush_staged(2) {
        path.finish(2);
        assert!(!path.gso().is_empty());
        path.complete(usize::MAX, None);
    }
    assert_eq!(messages(&path), [(2, 0)]);
}

#[test]
fn packets_are_padded_without_an_mtu() {
    let (mut path, _) = outbound(8);
    path.set_mtu(0);
    path.handle_command(install(1, false), 2);
    route_all_to_the_peer(&mut path);
    let (batch, frame) = drain(&mut path, Build::udp4().payload(1));
    assert_eq!(path.encrypt(&batch, &frame, 0), 1);
    let lengths: Vec<_> = path.gso().batches().flat_map(|(batch, _)| batch.lengths()).collect();
    assert_eq!(lengths, [16 + 32 + 16]);
}

#[test]
fn packets_are_neither_sent_nor_padded_beyond_the_path_mtu() {
    let (mut path, _) = outbound(8);
    path.handle_command(install(1, false), 2);
    route_all_to_the_peer(&mut path);
    path.set_max_datagram_size(PEER, Some(1281 + 32), SECOND_NS);
    let (batch, frame) = drain(&mut path, Build::udp4().payload(1254));
    assert_eq!(path.encrypt(&batch, &frame, 0), 1);
    assert!(path.gso().is_empty());
    assert_eq!(path.state.tally.drops[OutboundDrop::TooBig as usize], 1);
    let error = path.icmp_errors().pop().unwrap();
    assert_eq!(error[26..28], 1281u16.to_be_bytes());
    let (batch, frame) = drain(&mut path, Build::udp4().payload(1253));
    path.encrypt(&batch, &frame, 0);
    assert_eq!(lengths(&path), [1281 + 32]);
    assert!(path.icmp_errors().is_empty());
}

#[test]
fn a_packet_without_df_may_exceed_the_path_mtu() {
    let (mut path, _) = outbound(8);
    path.handle_command(install(1, false), 2);
    route_all_to_the_peer(&mut path);
    path.set_max_datagram_size(PEER, Some(1280 + 32), SECOND_NS);
    let (batch, frame) = drain(&mut path, Build::udp4().payload(1372).with(|b| b.fragment = 0));
    path.encrypt(&batch, &frame, 0);
    assert_eq!(lengths(&path), [1408 + 32]);
    assert!(path.icmp_errors().is_empty());
}

#[test]
fn a_path_mtu_is_used_for_two_seconds() {
    let (mut path, _) = outbound(8);
    path.handle_command(install(1, false), 2);
    route_all_to_the_peer(&mut path);
    path.set_max_datagram_size(PEER, Some(1280 + 32), SECOND_NS);
    for (seconds, errors) in [(1, 1), (2, 1), (3, 0), (4, 0)] {
        let (mut batch, frame) = drain(&mut path, Build::udp4().payload(1372));
        batch.received_ns = seconds * SECOND_NS;
        path.encrypt(&batch, &frame, 0);
        assert_eq!(path.icmp_errors().drain(..).count(), errors, "after {seconds} s");
    }
}

#[test]
fn another_destination_has_another_path_mtu() {
    let (mut path, _) = outbound(8);
    path.handle_command(install(1, false), 2);
    route_all_to_the_peer(&mut path);
    path.set_max_datagram_size(PEER, Some(1280 + 32), SECOND_NS);
    path.handle_command(set_path("192.0.2.2:51820"), 3);
    let (batch, frame) = drain(&mut path, Build::udp4().payload(1372));
    path.encrypt(&batch, &frame, 0);
    assert_eq!(lengths(&path), [1408 + 32]);
}

#[test]
fn a_packet_without_peer_or_endpoint_gets_an_icmp_error() {
    let (mut path, _) = outbound(8);
    let (batch, _) = drain(&mut path, Build::tcp4().payload(1));
    assert!(batch.frames.is_empty());
    assert_eq!(path.icmp_errors().drain(..).count(), 1);
    route_all_to_the_peer(&mut path);
    path.handle_command(OutboundCommand::SetPath(PEER, None), 3);
    let (batch, frame) = drain(&mut path, Build::tcp4().payload(1));
    path.encrypt(&batch, &frame, 0);
    assert_eq!(path.icmp_errors().drain(..).count(), 1);
    let tally = &path.state.tally;
    let drops = |reason| tally.drops[reason as usize];
    assert_eq!([OutboundDrop::NoRoute, OutboundDrop::NoEndpoint].map(drops), [1, 1]);
    assert_eq!((tally.entered, tally.queued), (2, 0));
}

fn route_all_to_the_peer(path: &mut Outbound) {
    let mut routes = AllowedIps::default();
    routes.insert("0.0.0.0/0".parse().unwrap(), PEER);
    path.handle_command(OutboundCommand::Routes(Arc::new(routes)), 2);
}

/// A routed drain of one packet, and its buffer.
fn drain(path: &mut Outbound, packet: Build) -> (FrameBatch, Vec<u8>) {
    let frame = [vec![0; VIRTIO_HEADER_LENGTH], packet.bytes()].concat();
    let mut batch = FrameBatch { received_ns: SECOND_NS, ..FrameBatch::default() };
    path.ingress(&mut batch, &frame, 0, frame.len());
    path.route(&mut batch, &frame);
    (batch, frame)
}

fn lengths(path: &Outbound) -> Vec<usize> {
    path.gso().batches().flat_map(|(batch, _)| batch.lengths()).collect()
}
