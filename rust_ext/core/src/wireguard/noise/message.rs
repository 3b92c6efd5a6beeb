//! The layout of messages of types 1 to 3 (whitepaper §5.4.2, §5.4.3, §5.4.7).

use crate::packet::message_header::{
    COOKIE_LENGTH, Class, INITIATION_LENGTH, RESPONSE_LENGTH, TYPE_COOKIE, TYPE_INITIATION,
    TYPE_RESPONSE, classify,
};

/// Bytes of mac1, of mac2, and of a cookie.
pub const MAC_LENGTH: usize = 16;

/// The Noise message of an initiation: ephemeral key, static key and timestamp.
pub const INITIATION_NOISE: std::ops::Range<usize> = 8..116;
/// The Noise message of a response: ephemeral key and an empty payload.
pub const RESPONSE_NOISE: std::ops::Range<usize> = 12..60;

/// The kind of a handshake message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Type 1.
    Initiation,
    /// Type 2.
    Response,
    /// Type 3.
    CookieReply,
}

impl Kind {
    /// Returns the kind of a datagram, or `None` unless type, reserved bytes and length are correct.
    pub fn of(datagram: &[u8]) -> Option<Self> {
        match classify(datagram) {
            Class::Initiation => Some(Self::Initiation),
            Class::Response => Some(Self::Response),
            Class::Cookie => Some(Self::CookieReply),
            _ => None,
        }
    }

    /// Type and length of a message.
    fn layout(self) -> (u32, usize) {
        match self {
            Self::Initiation => (TYPE_INITIATION, INITIATION_LENGTH),
            Self::Response => (TYPE_RESPONSE, RESPONSE_LENGTH),
            Self::CookieReply => (TYPE_COOKIE, COOKIE_LENGTH),
        }
    }
}

/// Returns the first index: the sender's in types 1 and 2, the receiver's in type 3.
pub fn first_index(message: &[u8]) -> u32 {
    index_at(message, 4)
}

/// Returns the second index of a response: the receiver's.
pub fn second_index(message: &[u8]) -> u32 {
    index_at(message, 8)
}

fn index_at(message: &[u8], offset: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&message[offset..offset + 4]);
    u32::from_le_bytes(bytes)
}

/// A message to send, of at most 148 bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    bytes: [u8; INITIATION_LENGTH],
    length: u8,
}

impl Message {
    /// Creates a message of this kind with its type and indices, otherwise zero.
    pub fn new(kind: Kind, indices: &[u32]) -> Self {
        let (message_type, length) = kind.layout();
        let mut bytes = [0; INITIATION_LENGTH];
        bytes[..4].copy_from_slice(&message_type.to_le_bytes());
        for (slot, index) in bytes[4..].chunks_exact_mut(4).zip(indices) {
            slot.copy_from_slice(&index.to_le_bytes());
        }
        // At most 148.
        Self { bytes, length: length as u8 }
    }
}

impl std::ops::Deref for Message {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl std::ops::DerefMut for Message {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..usize::from(self.length)]
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Message(type {}, {} B)", self.bytes[0], self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_and_reserved_bytes_must_be_correct() {
        for kind in [Kind::Initiation, Kind::Response, Kind::CookieReply] {
            let message = Message::new(kind, &[1]);
            assert_eq!(Kind::of(&message), Some(kind));
            assert_eq!(Kind::of(&message[..message.len() - 1]), None);
            assert_eq!(Kind::of(&[&message[..], &[0]].concat()), None);
            for reserved in 1..4 {
                let mut other = message.clone();
                other[reserved] = 1;
                assert_eq!(Kind::of(&other), None);
            }
        }
        assert_eq!(Kind::of(&[]), None);
        assert_eq!(Kind::of(&[4, 0, 0, 0]), None);
    }

    #[test]
    fn indices_are_little_endian() {
        let message = Message::new(Kind::Response, &[0x0403_0201, 0x0807_0605]);
        assert_eq!(message[4..12], [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(first_index(&message), 0x0403_0201);
        assert_eq!(second_index(&message), 0x0807_0605);
    }
}
