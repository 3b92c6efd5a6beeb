//! Where the fields of messages of types 1 to 3 lie (whitepaper §5.4.2, §5.4.3, §5.4.7).
//!
//! In: a datagram. Out: its kind, if type, reserved bytes and length are exactly right.

/// Bytes of a handshake initiation (kernel messages.h, struct message_handshake_initiation).
pub const INITIATION_LENGTH: usize = 148;
/// Bytes of a handshake response.
pub const RESPONSE_LENGTH: usize = 92;
/// Bytes of a cookie reply.
pub const COOKIE_REPLY_LENGTH: usize = 64;
/// Bytes of mac1, of mac2, and of a cookie.
pub const MAC_LENGTH: usize = 16;

/// The Noise message inside an initiation: ephemeral, static and stamp.
pub const INITIATION_NOISE: std::ops::Range<usize> = 8..116;
/// The Noise message inside a response: ephemeral and nothing, sealed.
pub const RESPONSE_NOISE: std::ops::Range<usize> = 12..60;

/// The kind of a message that control handles.
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
    /// What `datagram` is; `None` where anything about its outside is wrong.
    pub fn of(datagram: &[u8]) -> Option<Self> {
        let (header, _) = datagram.split_first_chunk::<4>()?;
        [Self::Initiation, Self::Response, Self::CookieReply]
            .into_iter()
            .find(|kind| *header == kind.header() && datagram.len() == kind.length())
    }

    /// The type byte and the three reserved ones.
    pub fn header(self) -> [u8; 4] {
        match self {
            Self::Initiation => [1, 0, 0, 0],
            Self::Response => [2, 0, 0, 0],
            Self::CookieReply => [3, 0, 0, 0],
        }
    }

    /// The exact length.
    pub fn length(self) -> usize {
        match self {
            Self::Initiation => INITIATION_LENGTH,
            Self::Response => RESPONSE_LENGTH,
            Self::CookieReply => COOKIE_REPLY_LENGTH,
        }
    }
}

/// The first index: the sender's in types 1 and 2, the receiver's in type 3.
pub fn first_index(message: &[u8]) -> u32 {
    index_at(message, 4)
}

/// The second index of a response: the receiver's.
pub fn second_index(message: &[u8]) -> u32 {
    index_at(message, 8)
}

fn index_at(message: &[u8], offset: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&message[offset..offset + 4]);
    u32::from_le_bytes(bytes)
}

/// A message to be sent: one of the three kinds, so at most 148 bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    bytes: [u8; INITIATION_LENGTH],
    length: u8,
}

impl Message {
    /// A message of this kind with its first four bytes and its indices.
    pub fn new(kind: Kind, indices: &[u32]) -> Self {
        let mut bytes = [0; INITIATION_LENGTH];
        bytes[..4].copy_from_slice(&kind.header());
        for (slot, index) in bytes[4..].chunks_exact_mut(4).zip(indices) {
            slot.copy_from_slice(&index.to_le_bytes());
        }
        // At most 148.
        Self { bytes, length: kind.length() as u8 }
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
    fn only_the_exact_length_and_zero_reserved_bytes_are_taken() {
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
