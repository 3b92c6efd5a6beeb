//! Decrypts one datagram at a time, in the order of the capture.
//!
//! The keys of a handshake may arrive after its initiation but not after its response. Data before its
//! handshake cannot be decrypted.

use pyfw_core::{
    aead::{Aead, Slot, TAG_LENGTH},
    packet::message_header::{Class, DATA_HEADER_LENGTH, classify},
    wireguard::noise::{
        message::{Kind, first_index, second_index},
        replay_window::{Accept, ReplayWindow},
        symmetric::Split,
    },
};

use super::{
    Reason,
    handshake::Initiation,
    keys::{Key, OuterKeys},
    sessions::{Direction, PendingInitiation, Recent},
};
use crate::capture::ip_length;

/// A datagram, decrypted if possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened<'o> {
    /// A message of types 1 to 3; types 1 and 2 were decrypted.
    Handshake(Kind),
    /// A data message with a packet.
    Packet {
        /// The inner packet, without padding if its IP header is valid.
        plaintext: &'o [u8],
        /// Whether the initiator of the session sent it.
        by_initiator: bool,
        /// The sender's static public key.
        sender: [u8; 32],
        /// The message's counter.
        counter: u64,
        /// Whether a higher counter of the session came before.
        late: bool,
    },
    /// A data message without a packet.
    Keepalive,
    /// Not a WireGuard message, or not decrypted.
    Failed(Reason),
}

/// Number of datagrams by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenCounts {
    /// Handshake messages.
    pub handshakes: u64,
    /// Inner packets.
    pub packets: u64,
    /// Keepalives.
    pub keepalives: u64,
    /// Inner packets and keepalives that were late.
    pub late: u64,
    /// Datagrams not decrypted, in the order of [`Reason::ALL`].
    pub failed: [u64; Reason::ALL.len()],
}

/// Decrypts the datagrams of one capture.
pub struct Decryptor {
    keys: OuterKeys,
    aead: Box<dyn Aead>,
    /// By the initiator's index.
    initiations: Recent<PendingInitiation>,
    /// By the receiver's index.
    directions: Recent<Direction>,
    buffer: Vec<u8>,
    counts: OpenCounts,
}

/// A data message decrypted into the buffer.
struct Decrypted {
    length: usize,
    by_initiator: bool,
    sender: Key,
    late: bool,
}

impl Decryptor {
    /// Creates a decryptor with these keys and this cipher.
    pub fn new(keys: OuterKeys, aead: Box<dyn Aead>) -> Self {
        Self {
            keys,
            aead,
            initiations: Recent::default(),
            directions: Recent::default(),
            buffer: Vec::new(),
            counts: OpenCounts::default(),
        }
    }

    /// Adds the keys of a secrets block, which apply to the datagrams after it. Returns the number of invalid
    /// lines.
    pub fn add_secrets(&mut self, text: &str) -> usize {
        self.keys.add_secrets(text)
    }

    /// Returns the counts so far.
    pub fn counts(&self) -> &OpenCounts {
        &self.counts
    }

    /// Decrypts the next datagram. The result lies in a buffer that the next call overwrites.
    pub fn open(&mut self, payload: &[u8]) -> Opened<'_> {
        let opened = match classify(payload) {
            Class::Data { index, counter } => {
                return match self.open_data(payload, index, counter) {
                    Ok(decrypted) => self.accept(decrypted, counter),
                    Err(reason) => self.reject(reason),
                };
            }
            Class::Initiation => self.open_initiation(payload),
            Class::Response => self.open_response(payload),
            Class::Cookie => Ok(Kind::CookieReply),
            Class::Stun | Class::TurnChannel | Class::Unknown => Err(Reason::NotWireGuard),
        };
        match opened {
            Ok(kind) => {
                self.counts.handshakes += 1;
                Opened::Handshake(kind)
            }
            Err(reason) => self.reject(reason),
        }
    }

    fn open_initiation(&mut self, message: &[u8]) -> Result<Kind, Reason> {
        let opened = Initiation::open(&self.keys, message);
        let result = opened.as_ref().map(|_| Kind::Initiation).map_err(|reason| *reason);
        let pending = PendingInitiation { message: message.to_vec(), opened };
        self.initiations.insert(first_index(message), pending, |other| other.message == message);
        result
    }

    fn open_response(&mut self, message: &[u8]) -> Result<Kind, Reason> {
        let (responder_index, initiator_index) = (first_index(message), second_index(message));
        // If several initiations have this index, the one that decrypted furthest gives the reason.
        let mut reason = None;
        for pending in self.initiations.newest_first(initiator_index) {
            if pending.opened.is_err() {
                pending.opened = Initiation::open(&self.keys, &pending.message);
            }
            let opened =
                pending.opened.as_ref().map_err(|error| *error).and_then(|initiation| {
                    Ok((initiation, initiation.finish(&self.keys, message)?))
                });
            let (initiation, split) = match opened {
                Ok(opened) => opened,
                Err(error) => {
                    reason = reason.max(Some(error));
                    continue;
                }
            };
            let Split { from_initiator, from_responder } = split;
            for (index, key, sender, by_initiator) in [
                (responder_index, from_initiator, initiation.initiator, true),
                (initiator_index, from_responder, initiation.responder, false),
            ] {
                let same = key.clone();
                let window = ReplayWindow::default();
                let direction = Direction { key, window, sender, by_initiator };
                self.directions.insert(index, direction, |other| other.key == same);
            }
            return Ok(Kind::Response);
        }
        Err(reason.unwrap_or(Reason::NoInitiation))
    }

    fn open_data(&mut self, payload: &[u8], index: u32, counter: u64) -> Result<Decrypted, Reason> {
        let length = payload.len() - DATA_HEADER_LENGTH - TAG_LENGTH;
        // A UDP payload is shorter than 64 KiB.
        let slot = Slot { offset: DATA_HEADER_LENGTH as u32, length: length as u32, counter };
        let mut reason = Reason::NoSession;
        for direction in self.directions.newest_first(index) {
            if !direction.window.check(counter) {
                reason = reason.max(Reason::Replayed);
                continue;
            }
            // A failed attempt destroys the ciphertext, so each starts from a copy.
            self.buffer.clear();
            self.buffer.extend_from_slice(payload);
            let mut opened = [false];
            self.aead.open(&direction.key, &mut self.buffer, &[slot], &mut opened);
            if opened == [true] {
                let late = direction.window.accept(counter) == Accept::Late;
                let &mut Direction { sender, by_initiator, .. } = direction;
                return Ok(Decrypted { length, by_initiator, sender, late });
            }
            reason = reason.max(Reason::Forged);
        }
        Err(reason)
    }

    fn accept(&mut self, decrypted: Decrypted, counter: u64) -> Opened<'_> {
        let Decrypted { length, by_initiator, sender, late } = decrypted;
        self.counts.late += u64::from(late);
        if length == 0 {
            self.counts.keepalives += 1;
            return Opened::Keepalive;
        }
        self.counts.packets += 1;
        let padded = &self.buffer[DATA_HEADER_LENGTH..DATA_HEADER_LENGTH + length];
        let unpadded = ip_length(padded).and_then(|length| padded.get(..length));
        let plaintext = unpadded.unwrap_or(padded);
        Opened::Packet { plaintext, by_initiator, sender, counter, late }
    }

    fn reject(&mut self, reason: Reason) -> Opened<'static> {
        self.counts.failed[reason as usize] += 1;
        Opened::Failed(reason)
    }
}
