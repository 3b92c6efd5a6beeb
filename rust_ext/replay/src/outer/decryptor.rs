//! One datagram after the other: what it is, and what is in it.
//!
//! In: UDP payloads in the order of the capture. Out: the inner packet of each data message, without
//! its padding, or what else it was. A handshake is followed whichever of its messages' keys come
//! first; data before its handshake cannot be opened.

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
    sessions::{Direction, Recent, Waiting},
};
use crate::capture::ip_length;

/// What a datagram was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened<'o> {
    /// A message of types 1 to 3. Those of types 1 and 2 were opened.
    Handshake(Kind),
    /// Data.
    Packet {
        /// The inner packet, from its IP header on; as it came if that says nothing of its length.
        plaintext: &'o [u8],
        /// Whether the end that sent it had initiated the session.
        by_initiator: bool,
        /// The static public key of the end that sent it.
        sender: [u8; 32],
        /// Its counter.
        counter: u64,
        /// A higher counter of its session came before it.
        late: bool,
    },
    /// Data without a packet.
    Keepalive,
    /// None of these, or not to be opened.
    Failed(Reason),
}

/// How many datagrams were what.
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
    /// The rest, in the order of [`Reason::ALL`].
    pub failed: [u64; Reason::ALL.len()],
}

/// Opens the datagrams of one capture.
pub struct Decryptor {
    keys: OuterKeys,
    aead: Box<dyn Aead>,
    /// By the initiator's index.
    waiting: Recent<Waiting>,
    /// By the receiver's index.
    directions: Recent<Direction>,
    buffer: Vec<u8>,
    counts: OpenCounts,
}

/// Data that was opened into the buffer.
struct Text {
    length: usize,
    by_initiator: bool,
    sender: Key,
    late: bool,
}

impl Decryptor {
    /// An opener with these keys and this cipher.
    pub fn new(keys: OuterKeys, aead: Box<dyn Aead>) -> Self {
        Self {
            keys,
            aead,
            waiting: Recent::default(),
            directions: Recent::default(),
            buffer: Vec::new(),
            counts: OpenCounts::default(),
        }
    }

    /// Adds the keys of a secrets block: give them before the datagrams that follow it in the
    /// capture. Says how many of its lines could not be used.
    pub fn add_secrets(&mut self, text: &str) -> usize {
        self.keys.add_secrets(text)
    }

    /// What was counted so far.
    pub fn counts(&self) -> &OpenCounts {
        &self.counts
    }

    /// Takes the next datagram. What it gives lies in a buffer that the next call uses again.
    pub fn datagram(&mut self, payload: &[u8]) -> Opened<'_> {
        let opened = match classify(payload) {
            Class::Data { index, counter } => {
                return match self.open_data(payload, index, counter) {
                    Ok(text) => self.deliver(text, counter),
                    Err(reason) => self.fail(reason),
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
            Err(reason) => self.fail(reason),
        }
    }

    fn open_initiation(&mut self, message: &[u8]) -> Result<Kind, Reason> {
        let opened = Initiation::open(&self.keys, message);
        let judged = opened.as_ref().map(|_| Kind::Initiation).map_err(|reason| *reason);
        let waiting = Waiting { message: message.to_vec(), opened };
        self.waiting.insert(first_index(message), waiting, |other| other.message == message);
        judged
    }

    fn open_response(&mut self, message: &[u8]) -> Result<Kind, Reason> {
        let (responder_index, initiator_index) = (first_index(message), second_index(message));
        // Of several that have this index, the one that came farthest says what was wrong.
        let mut reason = None;
        for waiting in self.waiting.newest_first(initiator_index) {
            if waiting.opened.is_err() {
                waiting.opened = Initiation::open(&self.keys, &waiting.message);
            }
            let opened =
                waiting.opened.as_ref().map_err(|why| *why).and_then(|initiation| {
                    Ok((initiation, initiation.finish(&self.keys, message)?))
                });
            let (initiation, split) = match opened {
                Ok(opened) => opened,
                Err(why) => {
                    reason = reason.max(Some(why));
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

    fn open_data(&mut self, payload: &[u8], index: u32, counter: u64) -> Result<Text, Reason> {
        let length = payload.len() - DATA_HEADER_LENGTH - TAG_LENGTH;
        // A UDP payload has less than 64 KiB.
        let slot = Slot { offset: DATA_HEADER_LENGTH as u32, length: length as u32, counter };
        let mut reason = Reason::NoSession;
        for direction in self.directions.newest_first(index) {
            if !direction.window.check(counter) {
                reason = reason.max(Reason::Replayed);
                continue;
            }
            // A try that fails leaves nothing behind that could be tried again.
            self.buffer.clear();
            self.buffer.extend_from_slice(payload);
            let mut opened = [false];
            self.aead.open(&direction.key, &mut self.buffer, &[slot], &mut opened);
            if opened == [true] {
                let late = direction.window.accept(counter) == Accept::Late;
                let &mut Direction { sender, by_initiator, .. } = direction;
                return Ok(Text { length, by_initiator, sender, late });
            }
            reason = reason.max(Reason::Forged);
        }
        Err(reason)
    }

    fn deliver(&mut self, text: Text, counter: u64) -> Opened<'_> {
        let Text { length, by_initiator, sender, late } = text;
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

    fn fail(&mut self, reason: Reason) -> Opened<'static> {
        self.counts.failed[reason as usize] += 1;
        Opened::Failed(reason)
    }
}
