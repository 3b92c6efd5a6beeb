//! Two devices on a wire that writes down what it carries, with their key logs on.

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

/// An opener with the keys of a log.
pub(super) fn opener(key_log: &str) -> Decryptor {
    Decryptor::new(OuterKeys::from_keylog(key_log).unwrap(), pyfw_aead::open("ring").unwrap())
}

pub(super) struct Wire {
    ends: [Node; 2],
    now: Now,
    /// UDP payloads in the order in which they were sent.
    pub(super) sent: Vec<Vec<u8>>,
    /// Which end sent each.
    senders: Vec<usize>,
}

struct Node {
    device: Device,
    peer: PeerId,
    sending: Option<(SendSession, u64)>,
    /// Sessions of ours by their index, which the peer's data confirms.
    unconfirmed: BTreeMap<u32, (PeerId, SendSession)>,
    key_log: String,
}

impl Wire {
    pub(super) fn new(preshared_key: [u8; 32]) -> Self {
        let now = Now { boot_ns: SECOND_NS, unix_ns: 1_700_000_000 * SECOND_NS };
        let mut ends = [1, 2].map(|seed| {
            let mut device = Device::new(Box::new(Counting(seed)));
            device.set_private_key(Some([seed as u8; 32]), now);
            device.set_key_log(true);
            let key_log = String::new();
            Node { device, peer: PeerId(0), sending: None, unconfirmed: BTreeMap::new(), key_log }
        });
        let keys = ends.each_ref().map(|end| end.device.public_key().unwrap());
        for (i, end) in ends.iter_mut().enumerate() {
            let change = PeerChange {
                preshared_key: Some(preshared_key),
                endpoint: Some(address(1 - i)),
                ..PeerChange::new(keys[1 - i])
            };
            end.device.set_peer(change, now);
            end.peer = end.device.peers().next().unwrap().peer;
        }
        let mut wire = Self { ends, now, sent: Vec::new(), senders: Vec::new() };
        wire.carry();
        wire
    }

    /// This end starts a handshake and confirms it with a keepalive.
    pub(super) fn handshake(&mut self, end: usize) {
        let peer = self.ends[end].peer;
        self.ends[end].device.handle_report(Report::WantsHandshake(peer), self.now);
        self.carry();
    }

    /// This end sends a packet whose first byte behind the IP header is `mark`, padded.
    pub(super) fn send(&mut self, end: usize, mark: u8) {
        let mut text = packet(0, &[]);
        text[2..4].copy_from_slice(&21u16.to_be_bytes());
        text.truncate(20);
        text[12..].copy_from_slice(&[10, 0, 0, end as u8 + 1, 10, 0, 0, 2 - end as u8]);
        text.push(mark);
        text.resize(32, 0);
        self.send_text(end, &text);
    }

    pub(super) fn advance(&mut self, by_ns: u64) {
        self.now.boot_ns += by_ns;
        self.now.unix_ns += by_ns;
    }

    pub(super) fn key_log(&self, end: usize) -> String {
        self.ends[end].key_log.clone()
    }

    /// What was sent, each in UDP and IPv4.
    pub(super) fn packets(&self) -> impl Iterator<Item = Vec<u8>> {
        self.senders.iter().zip(&self.sent).map(|(from, payload)| packet(*from, payload))
    }

    pub(super) fn public_key(&self, end: usize) -> [u8; 32] {
        self.ends[end].device.public_key().unwrap()
    }

    fn send_text(&mut self, end: usize, text: &[u8]) {
        let (session, counter) = self.ends[end].sending.as_mut().expect("there is no session");
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
        self.senders.push(end);
        let other = &mut self.ends[1 - end];
        if let Some((peer, next)) = other.unconfirmed.remove(&index) {
            other.sending = Some((next, 0));
            other.device.handle_report(Report::Confirmed(peer, index), self.now);
            self.carry();
        }
    }

    /// Carries what the devices say until they are quiet.
    fn carry(&mut self) {
        loop {
            let mut keepalives = Vec::new();
            let mut messages = Vec::new();
            for (i, end) in self.ends.iter_mut().enumerate() {
                while let Some(command) = end.device.poll_command() {
                    match command {
                        Command::Outbound(OutboundCommand::Install {
                            session, confirm, ..
                        }) => {
                            end.sending = Some((session, 0));
                            keepalives.extend(confirm.then_some(i));
                        }
                        Command::Inbound(InboundCommand::Install { session, next: Some(next) }) => {
                            end.unconfirmed.insert(session.local_index, (session.peer, next));
                        }
                        _ => {}
                    }
                }
                while let Some(event) = end.device.poll_event() {
                    if let Event::KeyLog(log) = event {
                        end.key_log.push_str(&key_log_text(&log));
                    }
                }
                while let Some(transmit) = end.device.poll_transmit() {
                    messages.push((1 - i, transmit.bytes().to_vec()));
                }
            }
            if messages.is_empty() && keepalives.is_empty() {
                return;
            }
            for (to, message) in messages {
                let from = Path::to(address(1 - to));
                self.ends[to].device.handle_datagram(&message, from, 0, self.now).unwrap();
                self.sent.push(message);
                self.senders.push(1 - to);
            }
            for end in keepalives {
                self.send_text(end, &[]);
            }
        }
    }
}

fn address(end: usize) -> std::net::SocketAddr {
    ([192, 0, 2, end as u8 + 1], 51820).into()
}

/// A payload in UDP and IPv4, from this end to the other.
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

/// Bytes that are never the same twice.
struct Counting(u64);

impl Entropy for Counting {
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
