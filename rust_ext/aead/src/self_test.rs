//! Compares a cipher with ring before it is used.
//!
//! A library of the right version can still be a broken build, or run on a processor that it was not tested
//! on. That must show at the start, and not as a peer that never answers.

use pyfw_core::aead::{Aead, Slot, TAG_LENGTH, TransportKey};

use crate::ring::Ring;

/// Text lengths: around ChaCha20's 64-byte block and Poly1305's 16-byte block, around the 4 to 16 blocks that
/// vector code takes at once, and the longest of a tunnel with MTU 1420.
const LENGTHS: [usize; 26] = [
    0, 1, 15, 16, 17, 31, 32, 48, 63, 64, 65, 127, 128, 192, 255, 256, 257, 500, 511, 512, 513,
    1023, 1024, 1025, 1420, 1452,
];

/// Bytes between slots, so that a write beyond a tag is noticed.
const GAP: usize = 5;

/// Returns the first difference between `cipher` and ring: in sealing, in opening, or in rejecting a forgery.
pub(crate) fn agrees_with_ring(cipher: &mut dyn Aead) -> Result<(), String> {
    let key = TransportKey::new(std::array::from_fn(|i| (i * 7 + 1) as u8));
    let (plain, slots) = plaintext();
    let mut expected = plain.clone();
    Ring.seal(&key, &mut expected, &slots);

    let mut buffer = plain.clone();
    cipher.seal(&key, &mut buffer, &slots);
    if let Some(slot) = slots.iter().find(|slot| sealed(&buffer, slot) != sealed(&expected, slot)) {
        return Err(format!("self-test: {} bytes sealed differently from ring", slot.length));
    }
    if buffer != expected {
        return Err("self-test: wrote outside the slots".into());
    }

    // Of three slots, one is forged in its tag, one in its text (or in its tag, if it has no text).
    for (i, slot) in slots.iter().enumerate() {
        let (text, tag) = (slot.offset as usize, (slot.offset + slot.length) as usize);
        match i % 3 {
            1 => buffer[tag + i % TAG_LENGTH] ^= 1 << (i % 8),
            2 => buffer[text] ^= 0x80,
            _ => {}
        }
    }
    let mut opened = vec![false; slots.len()];
    cipher.open(&key, &mut buffer, &slots, &mut opened);
    for (i, (slot, &opened)) in slots.iter().zip(&opened).enumerate() {
        let range = slot.offset as usize..(slot.offset + slot.length) as usize;
        match (opened, i % 3) {
            (true, 0) if buffer[range.clone()] != plain[range] => {
                return Err(format!("self-test: {} bytes opened to other bytes", slot.length));
            }
            (false, 0) => return Err(format!("self-test: {} bytes rejected", slot.length)),
            (true, 1 | 2) => {
                return Err(format!("self-test: a forgery of {} bytes accepted", slot.length));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Returns a buffer with a slot of each length, whose counters use all of their eight bytes.
fn plaintext() -> (Vec<u8>, Vec<Slot>) {
    let mut slots = Vec::new();
    let mut end = 3;
    for (i, &length) in LENGTHS.iter().enumerate() {
        let counter = 0x0123_4567_89ab_cdef_u64.rotate_left(i as u32 * 8) + i as u64;
        slots.push(Slot { offset: end as u32, length: length as u32, counter });
        end += length + TAG_LENGTH + GAP;
    }
    ((0..end).map(|i| ((i * 131) >> 3) as u8).collect(), slots)
}

fn sealed<'a>(buffer: &'a [u8], slot: &Slot) -> &'a [u8] {
    &buffer[slot.offset as usize..][..slot.length as usize + TAG_LENGTH]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ring with one fault.
    struct Faulty {
        seal: fn(&mut [u8], &[Slot]),
        open: fn(&mut [u8], &[Slot], &mut [bool]),
    }

    impl Aead for Faulty {
        fn name(&self) -> &'static str {
            "faulty"
        }

        fn seal(&mut self, key: &TransportKey, buffer: &mut [u8], slots: &[Slot]) {
            Ring.seal(key, buffer, slots);
            (self.seal)(buffer, slots);
        }

        fn open(&mut self, key: &TransportKey, buffer: &mut [u8], slots: &[Slot], ok: &mut [bool]) {
            Ring.open(key, buffer, slots, ok);
            (self.open)(buffer, slots, ok);
        }
    }

    const NO_SEAL_FAULT: fn(&mut [u8], &[Slot]) = |_, _| {};
    const NO_OPEN_FAULT: fn(&mut [u8], &[Slot], &mut [bool]) = |_, _, _| {};

    fn error_of(mut cipher: Faulty) -> String {
        agrees_with_ring(&mut cipher).unwrap_err()
    }

    #[test]
    fn faultless_cipher_passes() {
        agrees_with_ring(&mut Ring).unwrap();
        agrees_with_ring(&mut Faulty { seal: NO_SEAL_FAULT, open: NO_OPEN_FAULT }).unwrap();
    }

    #[test]
    fn one_wrong_sealed_bit_fails() {
        let seal = |buffer: &mut [u8], slots: &[Slot]| buffer[slots[9].offset as usize] ^= 1;
        let reason = error_of(Faulty { seal, open: NO_OPEN_FAULT });
        assert_eq!(reason, "self-test: 64 bytes sealed differently from ring");
    }

    #[test]
    fn wrong_tag_fails() {
        let seal = |buffer: &mut [u8], _: &[Slot]| buffer[3 + 15] ^= 1;
        let reason = error_of(Faulty { seal, open: NO_OPEN_FAULT });
        assert_eq!(reason, "self-test: 0 bytes sealed differently from ring");
    }

    #[test]
    fn write_beyond_a_tag_fails() {
        let seal = |buffer: &mut [u8], _: &[Slot]| buffer[3 + TAG_LENGTH] ^= 1;
        let reason = error_of(Faulty { seal, open: NO_OPEN_FAULT });
        assert_eq!(reason, "self-test: wrote outside the slots");
    }

    #[test]
    fn accepting_a_forgery_fails() {
        let open = |_: &mut [u8], _: &[Slot], opened: &mut [bool]| opened.fill(true);
        let reason = error_of(Faulty { seal: NO_SEAL_FAULT, open });
        assert_eq!(reason, "self-test: a forgery of 1 bytes accepted");
    }

    #[test]
    fn rejecting_a_valid_slot_fails() {
        let open = |_: &mut [u8], _: &[Slot], opened: &mut [bool]| opened[12] = false;
        let reason = error_of(Faulty { seal: NO_SEAL_FAULT, open });
        assert_eq!(reason, "self-test: 128 bytes rejected");
    }

    #[test]
    fn opening_to_other_bytes_fails() {
        let open = |buffer: &mut [u8], slots: &[Slot], _: &mut [bool]| {
            buffer[slots[24].offset as usize + 1419] ^= 1;
        };
        let reason = error_of(Faulty { seal: NO_SEAL_FAULT, open });
        assert_eq!(reason, "self-test: 1420 bytes opened to other bytes");
    }
}
