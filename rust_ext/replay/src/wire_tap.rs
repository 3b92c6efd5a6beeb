//! Decrypts datagrams on the virtual wire with the nodes' own keys, for results and records.

use std::collections::HashMap;

use pyfw_core::{
    aead::{Aead, Slot, TAG_LENGTH, TransportKey},
    packet::message_header::{Class, DATA_HEADER_LENGTH, classify},
    wireguard::commands::SendSession,
};

pub(crate) struct WireTap {
    aead: Box<dyn Aead>,
    /// Keys by receiver index.
    keys: HashMap<u32, TransportKey>,
    buffer: Vec<u8>,
}

impl WireTap {
    pub(crate) fn new(aead: Box<dyn Aead>) -> Self {
        Self { aead, keys: HashMap::new(), buffer: Vec::new() }
    }

    /// Adds the key of a session that a node sends with.
    pub(crate) fn add_session(&mut self, session: &SendSession) {
        self.keys.insert(session.remote_index, session.key.clone());
    }

    /// Returns the packet in a data message, padding included; `None` for handshakes and keepalives.
    pub(crate) fn open(&mut self, datagram: &[u8]) -> Option<&[u8]> {
        let Class::Data { index, counter } = classify(datagram) else { return None };
        let key = self.keys.get(&index)?;
        let length = datagram.len() - DATA_HEADER_LENGTH - TAG_LENGTH;
        self.buffer.clear();
        self.buffer.extend_from_slice(&datagram[DATA_HEADER_LENGTH..]);
        let slot = Slot { offset: 0, length: length as u32, counter };
        let mut opened = [false];
        self.aead.open(key, &mut self.buffer, &[slot], &mut opened);
        (opened[0] && length != 0).then(|| &self.buffer[..length])
    }
}
