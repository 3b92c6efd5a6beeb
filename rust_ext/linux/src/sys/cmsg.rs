//! Control messages of one datagram (addresses, DS byte, segment size, drops): a writer and a reader over
//! fixed, aligned memory.

use std::mem::size_of;

/// Room for the messages of one datagram: packet info (IPv6: 20 B), DS byte, segment size, drop count and
/// arrival time, each with its header of 16 bytes and padding.
pub(crate) const CAPACITY: usize = 160;

/// Control messages, aligned as cmsghdr requires.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(crate) struct ControlBuffer {
    bytes: [u8; CAPACITY],
    length: usize,
}

const HEADER: usize = align(size_of::<libc::cmsghdr>());

impl ControlBuffer {
    pub(crate) const EMPTY: Self = Self { bytes: [0; CAPACITY], length: 0 };

    pub(crate) fn clear(&mut self) {
        self.length = 0;
    }

    /// Appends one message.
    ///
    /// # Panics
    /// If there is no room: the callers' messages have known sizes.
    pub(crate) fn push(&mut self, level: libc::c_int, kind: libc::c_int, data: &[u8]) {
        let length = HEADER + data.len();
        let message = &mut self.bytes[self.length..self.length + align(length)];
        message.fill(0);
        message[..8].copy_from_slice(&length.to_ne_bytes());
        message[8..12].copy_from_slice(&level.to_ne_bytes());
        message[12..16].copy_from_slice(&kind.to_ne_bytes());
        message[HEADER..length].copy_from_slice(data);
        self.length += align(length);
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut libc::c_void {
        self.bytes.as_mut_ptr().cast()
    }

    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Sets how many bytes the kernel wrote.
    pub(crate) fn set_length(&mut self, length: usize) {
        self.length = length.min(CAPACITY);
    }

    /// Returns each message as (level, type, data), up to the first that is cut short.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (libc::c_int, libc::c_int, &[u8])> {
        let mut rest = self.bytes();
        std::iter::from_fn(move || {
            let length = usize::from_ne_bytes(rest.get(..8)?.try_into().ok()?);
            let level = libc::c_int::from_ne_bytes(rest.get(8..12)?.try_into().ok()?);
            let kind = libc::c_int::from_ne_bytes(rest.get(12..16)?.try_into().ok()?);
            let data = rest.get(HEADER..length)?;
            rest = rest.get(align(length)..).unwrap_or(&[]);
            Some((level, kind, data))
        })
    }
}

const fn align(length: usize) -> usize {
    length.next_multiple_of(size_of::<usize>())
}

// `push` and `iter` have the layout of cmsghdr on 64-bit Linux: cmsg_len, cmsg_level, cmsg_type.
const _: () = assert!(size_of::<libc::cmsghdr>() == 16 && size_of::<usize>() == 8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_round_trip() {
        let mut control = ControlBuffer::EMPTY;
        control.push(1, 2, &[1, 2, 3]);
        control.push(3, 4, &[5; 20]);
        let read: Vec<_> = control.iter().collect();
        assert_eq!(read, [(1, 2, &[1, 2, 3][..]), (3, 4, &[5; 20][..])]);
    }

    #[test]
    fn a_truncated_message_ends_the_list() {
        let mut control = ControlBuffer::EMPTY;
        control.push(1, 2, &[1; 8]);
        control.push(3, 4, &[2; 20]);
        control.set_length(control.length() - 8);
        assert_eq!(control.iter().count(), 1);
    }

    #[test]
    fn the_messages_of_an_ipv6_datagram_fit() {
        let mut control = ControlBuffer::EMPTY;
        for length in [size_of::<libc::in6_pktinfo>(), 4, 4, 4, size_of::<libc::timespec>()] {
            control.push(1, 2, &[0xFF; 20][..length]);
        }
        assert_eq!(control.iter().count(), 5);
    }

    proptest::proptest! {
        #[test]
        fn the_list_ends_whatever_the_bytes_are(
            lengths in proptest::array::uniform16(proptest::prop_oneof![
                0..2 * CAPACITY,
                proptest::num::usize::ANY,
            ]),
            length in 0..2 * CAPACITY,
        ) {
            let mut control = ControlBuffer::EMPTY;
            for (word, length) in control.bytes.chunks_mut(8).zip(lengths) {
                word.copy_from_slice(&length.to_ne_bytes());
            }
            control.set_length(length);
            proptest::prop_assert!(control.iter().take(99).count() <= CAPACITY / HEADER);
        }
    }
}
