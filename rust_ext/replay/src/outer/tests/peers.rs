//! Two devices on a wire that records its datagrams, with key logging on.

use std::collections::BTreeMap;

use pyfw_core::{
    aead::{Aead, Slot, TAG_LENGTH},
    packet::message_header::{DATA_HEADER_LENGTH, write_data_header},
    time::{Now, SECOND_NS},
    wireguard::{
        commands::{Command, InboundCommand, OutboundCommand, Report, SendSession},
        device::{Device, Entropy, Event, PeerChange},
        path::Path,
        peer::PeerId,
    },
};

use super::{Decryptor, OuterKeys, key_log_text};

pub(super) const PRESHARED: [u8; 32] = [0x5a; 32];

/// Returns a decryptor with the keys of a log.
pub(super) fn decryptor(key_log: &str) -> Decryptor {
    Decryptor::new(OuterKeys::from_keylog(key_log).unwrap(), pyfw_aead::open("ring").unwrap())
}

pub(super) struct Wire {
    peers: [Peer; 2],
    now: Now,
    /// UDP payloads in the order in which they were sent.
    pub(super) sent: Vec<Vec<u8>>,
    /// The peer that sent each.
    senders: Vec<usize>,
}

struct Peer {
    device: Device,
    peer: PeerId,
    sending: Option<(SendSession, u64)>,
    /// Sessions by local index, until the other peer's data confirms them.
    unconfirmed: BTreeMap<u32, (PeerId, SendSession)>,
    key_log: String,
}

impl Wire {
    pub(super) fn new(preshared_key: [u8; 32]) -> Self {
        let now = Now { boot_ns: SECOND_NS, unix_ns: 1_700_000_000 * SECOND_NS };
        let mut peers = [1, 2].map(|seed| {
            let mut device = Device::new(Box::new(SplitMix(seed)));
            device.set_private_key(Some([seed as u8; 32]), now);
            device.set_key_log(true);
            let key_log = String::new();
            Peer { device, peer: PeerId(0), sending: None, unconfirmed: BTreeMap::new(), key_log }
        });
        let keys = peers.each_ref().map(|peer| peer.device.public_key().unwrap());
        for (i, peer) in peers.iter_mut().enumerate() {
            let change = PeerChange {
                preshared_key: Some(preshared_key),
                endpoint: Some(address(1 - i)),
                ..PeerChange::new(keys[1 - i])
            };
            peer.device.set_peer(change, now);
            peer.peer = peer.device.peers().next().unwrap().peer;
        }
        let mut wire = Self { peers, now, sent: Vec::new(), senders: Vec::new() };
        wire.deliver();
        wire
    }

    /// Peer `from` starts a handshake and confirms it with a keepalive.
    pub(super) fn handshake(&mut self, from: usize) {
        let peer = self.peers[from].peer;
        self.peers[from].device.handle_report(Report::WantsHandshake(peer), self.now);
        self.deliver();
    }

    /// Peer `from` sends a padded packet whose first byte after the IP header is `mark`.
    pub(super) fn send(&mut self, from: usize, mark: u8) {
        let mut text = packet(0, &[]);
        text[2..4].copy_from_slice(&21u16.to_be_bytes());
        text.truncate(20);
        text[12..].copy_from_slice(&[10, 0, 0, from as u8 + 1, 10, 0, 0, 2 - from as u8]);
        text.push(mark);
        text.resize(32, 0);
        self.send_data(from, &text);
    }

    pub(super) fn advance(&mut self, by_ns: u64) {
        self.now.boot_ns += by_ns;
        self.now.unix_ns += by_ns;
    }

    pub(super) fn key_log(&self, peer: usize) -> String {
        self.peers[peer].key_log.clone()
    }

    /// Returns the datagrams sent, each with its UDP and IPv4 headers.
    pub(super) fn packets(&self) -> impl Iterator<Item = Vec<u8>> {
        self.senders.iter().zip(&self.sent).map(|(from, payload)| packet(*from, payload))
    }

    pub(super) fn public_key(&self, peer: usize) -> [u8; 32] {
        self.peers[peer].device.public_key().unwrap()
    }

    fn send_data(&mut self, from: usize, text: &[u8]) {
        let (session, counter) = self.peers[from].sending.as_mut().expect("a session");
        let mut message = vec![0; DATA_HEADER_LENGTH];
        write_data_header(&mut message, session.remote_index, *counter);
        message.extend_from_slice(text);
        message.resize(message.len() + TAG_LENGTH, 0);
        let slot = Slot {
            offset: DATA_HEADER_LENGTH as u32,
            length: text.len() as u32,
            counter: *counter,
        };
        *counter += 1;
        let key = session.key.clone();
        let index = session.remote_index;
        pyfw_aead::Ring.seal(&key, &mut message, &[slot]);
        self.sent.push(message);
        self.senders.push(from);
        let other = &mut self.peers[1 - from];
        if let Some((peer, next)) = other.unconfirmed.remove(&index) {
            other.sending = Some((next, 0));
            other.device.handle_report(Report::Confirmed(peer, index), self.now);
            self.deliver();
        }
    }

    /// Delivers messages and commands until none is left.
    fn deliver(&mut self) {
        loop {
            let mut keepalives = Vec::new();
            let mut messages = Vec::new();
            for (i, peer) in self.peers.iter_mut().enumerate() {
                while let Some(command) = peer.device.poll_command() {
                    match command {
                        Command::Outbound(OutboundCommand::Install {
                            session, confirm, ..
                        }) => {
                            peer.sending = Some((session, 0));
                            keepalives.extend(confirm.then_some(i));
                        }
                        Command::Inbound(InboundCommand::Install { session, next: Some(next) }) => {
                            peer.unconfirmed.insert(session.local_index, (session.peer, next));
                        }
                        _ => {}
                    }
                }
                while let Some(event) = peer.device.poll_event() {
                    if let Event::KeyLog(log) = event {
                        peer.key_log.push_str(&key_log_text(&log));
                    }
                }
                while let Some(transmit) = peer.device.poll_transmit() {
                    messages.push((1 - i, transmit.bytes().to_vec()));
                }
            }
            if messages.is_empty() && keepalives.is_empty() {
                return;
            }
            for (to, message) in messages {
                let from = Path::to(address(1 - to));
                self.peers[to].device.handle_datagram(&message, from, 0, self.now).unwrap();
                self.sent.push(message);
                self.senders.push(1 - to);
            }
            for from in keepalives {
                self.send_data(from, &[]);
            }
        }
    }
}

fn address(peer: usize) -> std::net::SocketAddr {
    ([192, 0, 2, peer as u8 + 1], 51820).into()
}

/// Returns a datagram from a peer to the other, with UDP and IPv4 headers.
pub(super) fn packet(from: usize, payload: &[u8]) -> Vec<u8> {
    let udp_length = (8 + payload.len() as u16).to_be_bytes();
    let length = (28 + payload.len() as u16).to_be_bytes();
    let mut packet = vec![0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, 17, 0, 0];
    packet.extend([192, 0, 2, from as u8 + 1, 192, 0, 2, 2 - from as u8]);
    let port = 51820u16.to_be_bytes();
    packet.extend([port, port, udp_length, [0; 2]].concat());
    packet.extend_from_slice(payload);
    packet
}

/// Deterministic entropy.
struct SplitMix(u64);

impl Entropy for SplitMix {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            // SplitMix64 (Steele, Lea, Flood 2014).
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            *byte = (z ^ (z >> 31)) as u8;
        }
    }
}
