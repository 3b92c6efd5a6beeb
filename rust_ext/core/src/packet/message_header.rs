//! Classification of datagrams by their header (whitepaper §5.4), STUN and TURN on the same port included.

/// Bytes of a handshake initiation (§5.4.2).
pub const INITIATION_LENGTH: usize = 148;
/// Bytes of a handshake response (§5.4.3).
pub const RESPONSE_LENGTH: usize = 92;
/// Bytes of a cookie reply (§5.4.7).
pub const COOKIE_LENGTH: usize = 64;
/// Bytes of the header of a data message (§5.4.6).
pub const DATA_HEADER_LENGTH: usize = 16;
/// Bytes of a keepalive, header and tag. Longer data messages need not be padded, as in Linux
/// (drivers/net/wireguard/receive.c).
pub const MIN_DATA_LENGTH: usize = 32;

/// Type and reserved bytes of an initiation as a little-endian 32-bit word.
pub(crate) const TYPE_INITIATION: u32 = 1;
/// The same of a response.
pub(crate) const TYPE_RESPONSE: u32 = 2;
/// The same of a cookie reply.
pub(crate) const TYPE_COOKIE: u32 = 3;
/// The same of a data message.
pub(crate) const TYPE_DATA: u32 = 4;

/// RFC 8489 §5.
const STUN_MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
const STUN_HEADER_LENGTH: usize = 20;
/// RFC 8656 §12.4.
const CHANNEL_HEADER_LENGTH: usize = 4;

/// The class of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A handshake initiation.
    Initiation,
    /// A handshake response.
    Response,
    /// A cookie reply.
    Cookie,
    /// A data message.
    Data {
        /// The receiver index.
        index: u32,
        /// The counter, not authenticated yet.
        counter: u64,
    },
    /// A STUN message.
    Stun,
    /// TURN channel data.
    TurnChannel,
    /// None of these: unknown type, non-zero reserved bytes, or the wrong length.
    Unknown,
}

/// Classifies a datagram by its first bytes and its length.
pub fn classify(datagram: &[u8]) -> Class {
    if let Some(data) = datagram.first_chunk::<DATA_HEADER_LENGTH>() {
        let [t0, t1, t2, t3, i0, i1, i2, i3, counter @ ..] = *data;
        match (u32::from_le_bytes([t0, t1, t2, t3]), datagram.len()) {
            (TYPE_DATA, MIN_DATA_LENGTH..) => {
                let index = u32::from_le_bytes([i0, i1, i2, i3]);
                return Class::Data { index, counter: u64::from_le_bytes(counter) };
            }
            (TYPE_INITIATION, INITIATION_LENGTH) => return Class::Initiation,
            (TYPE_RESPONSE, RESPONSE_LENGTH) => return Class::Response,
            (TYPE_COOKIE, COOKIE_LENGTH) => return Class::Cookie,
            _ => {}
        }
    }
    match datagram {
        [0x40..=0x4F, _, high, low, ..]
            if datagram.len() - CHANNEL_HEADER_LENGTH
                >= usize::from(u16::from_be_bytes([*high, *low])) =>
        {
            Class::TurnChannel
        }
        [0x00..=0x3F, _, _, _, cookie @ ..]
            if datagram.len() >= STUN_HEADER_LENGTH && cookie.starts_with(&STUN_MAGIC_COOKIE) =>
        {
            Class::Stun
        }
        _ => Class::Unknown,
    }
}

/// Writes the header of a data message.
pub fn write_data_header(slot: &mut [u8], receiver_index: u32, counter: u64) {
    slot[..4].copy_from_slice(&TYPE_DATA.to_le_bytes());
    slot[4..8].copy_from_slice(&receiver_index.to_le_bytes());
    slot[8..DATA_HEADER_LENGTH].copy_from_slice(&counter.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(first: [u8; 4], length: usize) -> Vec<u8> {
        let mut datagram = vec![0; length];
        datagram[..4].copy_from_slice(&first);
        datagram
    }

    #[test]
    fn handshake_messages_have_a_fixed_length() {
        for (kind, length, class) in [
            (1, INITIATION_LENGTH, Class::Initiation),
            (2, RESPONSE_LENGTH, Class::Response),
            (3, COOKIE_LENGTH, Class::Cookie),
        ] {
            assert_eq!(classify(&message([kind, 0, 0, 0], length)), class);
            for wrong in [length - 1, length + 1] {
                assert_eq!(classify(&message([kind, 0, 0, 0], wrong)), Class::Unknown);
            }
        }
    }

    #[test]
    fn a_written_data_header_is_read_back() {
        let mut datagram = vec![0; MIN_DATA_LENGTH];
        write_data_header(&mut datagram, 0x0102_0304, 0x0506_0708_090A_0B0C);
        assert_eq!(datagram[..8], [4, 0, 0, 0, 4, 3, 2, 1]);
        let data = Class::Data { index: 0x0102_0304, counter: 0x0506_0708_090A_0B0C };
        assert_eq!(classify(&datagram), data);
        assert_eq!(classify(&datagram[..MIN_DATA_LENGTH - 1]), Class::Unknown);
    }

    #[test]
    fn a_message_with_reserved_bytes_set_is_unknown() {
        for at in 1..4 {
            let mut datagram = message([4, 0, 0, 0], 64);
            datagram[at] = 1;
            assert_eq!(classify(&datagram), Class::Unknown);
        }
    }

    #[test]
    fn stun_has_a_cookie_and_channel_data_a_number() {
        let mut stun = message([0, 1, 0, 0], 20);
        assert_eq!(classify(&stun), Class::Unknown);
        stun[4..8].copy_from_slice(&STUN_MAGIC_COOKIE);
        assert_eq!(classify(&stun), Class::Stun);
        assert_eq!(classify(&stun[..19]), Class::Unknown);
        assert_eq!(classify(&message([0x40, 0, 0, 4], 8)), Class::TurnChannel);
        assert_eq!(classify(&message([0x40, 0, 0, 5], 8)), Class::Unknown);
        assert_eq!(classify(&message([0x50, 0, 0, 0], 8)), Class::Unknown);
        assert_eq!(classify(&[]), Class::Unknown);
    }
}
