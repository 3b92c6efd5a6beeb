//! Control messages: what travels beside a datagram (addresses, DS byte, segment size, drops).
//!
//! A small writer and reader over fixed, aligned memory; no allocation.

use std::mem::size_of;

/// Room for the control messages of one datagram: packet info (IPv6: 20 B), DS byte, segment
/// size, drop count and time of arrival, each with its header of 16 bytes and padding.
pub(crate) const ROOM: usize = 160;

/// Aligned as cmsghdr wants it.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(crate) struct Control {
    bytes: [u8; ROOM],
    length: usize,
}

const HEADER: usize = align(size_of::<libc::cmsghdr>());

impl Control {
    pub(crate) const EMPTY: Self = Self { bytes: [0; ROOM], length: 0 };

    pub(crate) fn clear(&mut self) {
        self.length = 0;
    }

    /// Appends one message.
    ///
    /// # Panics
    /// Where there is no room: the callers' messages are of known sizes.
    pub(crate) fn push(&mut self, level: libc::c_int, kind: libc::c_int, data: &[u8]) {
        let whole = HEADER + data.len();
        let room = &mut self.bytes[self.length..self.length + align(whole)];
        room.fill(0);
        room[..8].copy_from_slice(&whole.to_ne_bytes());
        room[8..12].copy_from_slice(&level.to_ne_bytes());
        room[12..16].copy_from_slice(&kind.to_ne_bytes());
        room[HEADER..whole].copy_from_slice(data);
        self.length += align(whole);
    }

    /// Where the kernel reads or writes them.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut libc::c_void {
        self.bytes.as_mut_ptr().cast()
    }

    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Says how much the kernel wrote.
    pub(crate) fn set_length(&mut self, length: usize) {
        self.length = length.min(ROOM);
    }

    /// Each message as (level, type, data); ends at the first that does not fit.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (libc::c_int, libc::c_int, &[u8])> {
        let mut rest = &self.bytes[..self.length];
        std::iter::from_fn(move || {
            let whole = usize::from_ne_bytes(rest.get(..8)?.try_into().ok()?);
            let level = libc::c_int::from_ne_bytes(rest.get(8..12)?.try_into().ok()?);
            let kind = libc::c_int::from_ne_bytes(rest.get(12..16)?.try_into().ok()?);
            let data = rest.get(HEADER..whole)?;
            rest = rest.get(align(whole)..).unwrap_or(&[]);
            Some((level, kind, data))
        })
    }
}

const fn align(length: usize) -> usize {
    length.next_multiple_of(size_of::<usize>())
}

// cmsg_len, cmsg_level and cmsg_type lie as `push` writes them on 64-bit Linux.
const _: () = assert!(size_of::<libc::cmsghdr>() == 16 && size_of::<usize>() == 8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_is_read_back() {
        let mut control = Control::EMPTY;
        control.push(1, 2, &[1, 2, 3]);
        control.push(3, 4, &[5; 20]);
        let read: Vec<_> = control.iter().collect();
        assert_eq!(read, [(1, 2, &[1, 2, 3][..]), (3, 4, &[5; 20][..])]);
    }

    #[test]
    fn a_cut_message_ends_the_list() {
        let mut control = Control::EMPTY;
        control.push(1, 2, &[1; 8]);
        control.push(3, 4, &[2; 20]);
        control.set_length(control.length() - 8);
        assert_eq!(control.iter().count(), 1);
    }

    #[test]
    fn all_that_comes_beside_one_ipv6_datagram_has_room() {
        let mut control = Control::EMPTY;
        for length in [size_of::<libc::in6_pktinfo>(), 4, 4, 4, size_of::<libc::timespec>()] {
            control.push(1, 2, &[0xFF; 20][..length]);
        }
        assert_eq!(control.iter().count(), 5);
    }

    proptest::proptest! {
        #[test]
        fn whatever_lies_there_the_list_ends(
            lengths in proptest::array::uniform16(proptest::prop_oneof![
                0..2 * ROOM,
                proptest::num::usize::ANY,
            ]),
            length in 0..2 * ROOM,
        ) {
            let mut control = Control::EMPTY;
            for (room, length) in control.bytes.chunks_mut(8).zip(lengths) {
                room.copy_from_slice(&length.to_ne_bytes());
            }
            control.set_length(length);
            proptest::prop_assert!(control.iter().take(99).count() <= ROOM / HEADER);
        }
    }
}
