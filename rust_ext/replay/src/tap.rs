//! A listener on the virtual wire that has the keys: what is inside each datagram.
//!
//! In: the sessions that the ends install, and datagrams as they are sent. Out: the packet inside,
//! which only reports and captures ask for; the data path never does. Drops: nothing.

use std::collections::HashMap;

use pyfw_core::{
    aead::{Aead, Slot, TAG_LENGTH, TransportKey},
    packet::message_header::{Class, DATA_HEADER_LENGTH, classify},
    wireguard::commands::SendSession,
};

/// Keys by the receiver index that each data message names.
pub(crate) struct Tap {
    aead: Box<dyn Aead>,
    keys: HashMap<u32, TransportKey>,
    text: Vec<u8>,
}

/// What a datagram turned out to be.
pub(crate) enum Inside<'a> {
    /// A packet, padding included.
    Packet(&'a [u8]),
    /// A handshake message, or a keepalive.
    Nothing,
}

impl Tap {
    pub(crate) fn new(aead: Box<dyn Aead>) -> Self {
        Self { aead, keys: HashMap::new(), text: Vec::new() }
    }

    /// Learns the keys of a session as its sending end gets them.
    pub(crate) fn learn(&mut self, session: &SendSession) {
        self.keys.insert(session.remote_index, session.key.clone());
    }

    /// Opens a copy of a datagram.
    pub(crate) fn look(&mut self, datagram: &[u8]) -> Inside<'_> {
        let Class::Data { index, counter } = classify(datagram) else { return Inside::Nothing };
        let Some(key) = self.keys.get(&index) else { return Inside::Nothing };
        let length = datagram.len() - DATA_HEADER_LENGTH - TAG_LENGTH;
        self.text.clear();
        self.text.extend_from_slice(&datagram[DATA_HEADER_LENGTH..]);
        let slot = Slot { offset: 0, length: length as u32, counter };
        let mut opened = [false];
        self.aead.open(key, &mut self.text, &[slot], &mut opened);
        match opened[0] && length != 0 {
            true => Inside::Packet(&self.text[..length]),
            false => Inside::Nothing,
        }
    }
}
