//! No cipher, for benchmarks that measure the paths without it: text stays as it is, the tag is zeros, and
//! every datagram opens. Nothing is secret and nothing is authentic.

use pyfw_core::aead::{Aead, Slot, TAG_LENGTH, TransportKey};

/// Leaves the text as it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Off;

impl Aead for Off {
    fn name(&self) -> &'static str {
        "off"
    }

    fn seal(&mut self, _: &TransportKey, buffer: &mut [u8], slots: &[Slot]) {
        for slot in slots {
            // The bytes that the buffer held before must not be sent.
            let tag = (slot.offset + slot.length) as usize;
            buffer[tag..tag + TAG_LENGTH].fill(0);
        }
    }

    fn open(&mut self, _: &TransportKey, _: &mut [u8], slots: &[Slot], opened: &mut [bool]) {
        assert_eq!(slots.len(), opened.len(), "one verdict per slot");
        opened.fill(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_and_the_tag_is_zeros() {
        let mut buffer = [7; 64];
        let slot = Slot { offset: 4, length: 20, counter: 1 };
        Off.seal(&TransportKey::new([1; 32]), &mut buffer, &[slot]);
        assert_eq!(buffer[..24], [7; 24]);
        assert_eq!(buffer[24..40], [0; TAG_LENGTH]);
        assert_eq!(buffer[40..], [7; 24]);
    }

    #[test]
    fn no_name_opens_it() {
        for name in ["off", "none", "null", ""] {
            assert!(matches!(crate::open(name), Err(crate::Error::Unknown { .. })), "{name}");
        }
        assert!(crate::available().iter().all(|cipher| cipher.name != Off.name()));
    }
}
