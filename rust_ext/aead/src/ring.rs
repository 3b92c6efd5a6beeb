//! ring's ChaCha20-Poly1305: compiled in, portable, and the reference for every other cipher.
//!
//! The key is set up once per call, not per slot; nothing is allocated.

use pyfw_core::aead::{Aead, Slot, TAG_LENGTH, TransportKey};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};

/// The cipher that is always available.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ring;

impl Aead for Ring {
    fn name(&self) -> &'static str {
        "ring"
    }

    fn seal(&mut self, key: &TransportKey, buffer: &mut [u8], slots: &[Slot]) {
        let key = less_safe_key(key);
        for slot in slots {
            let (text, tag) = text_and_tag(buffer, slot);
            let sealed = key.seal_in_place_separate_tag(nonce(slot.counter), Aad::empty(), text);
            // ring rejects only texts above 256 GiB; a slot is below 4 GiB.
            tag.copy_from_slice(sealed.expect("a slot is within ChaCha20's limit").as_ref());
        }
    }

    fn open(&mut self, key: &TransportKey, buffer: &mut [u8], slots: &[Slot], opened: &mut [bool]) {
        assert_eq!(slots.len(), opened.len(), "one verdict per slot");
        let key = less_safe_key(key);
        for (slot, opened) in slots.iter().zip(opened) {
            let (text, tag) = text_and_tag(buffer, slot);
            let tag = Tag::from(*tag);
            *opened = key
                .open_in_place_separate_tag(nonce(slot.counter), Aad::empty(), tag, text, 0..)
                .is_ok();
        }
    }
}

/// The key is not wiped when dropped, since ring cannot; it lives on the stack for one call.
fn less_safe_key(key: &TransportKey) -> LessSafeKey {
    let key = UnboundKey::new(&CHACHA20_POLY1305, &key[..]).expect("the key has 32 bytes");
    LessSafeKey::new(key)
}

/// Whitepaper §5.4.6: 32 zero bits, then the counter in little endian.
fn nonce(counter: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_le_bytes());
    Nonce::assume_unique_for_key(nonce)
}

fn text_and_tag<'a>(buffer: &'a mut [u8], slot: &Slot) -> (&'a mut [u8], &'a mut [u8; TAG_LENGTH]) {
    let (text, rest) = buffer[slot.offset as usize..].split_at_mut(slot.length as usize);
    (text, rest.first_chunk_mut().expect("the slot's tag lies inside the buffer"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::published_vectors::{self, FORGED, VALID};

    #[test]
    fn published_vectors_hold() {
        let key_of = |key: &[u8; 32]| less_safe_key(&TransportKey::new(*key));
        let counts = published_vectors::check(
            &mut |key, nonce, associated, text| {
                let nonce = Nonce::assume_unique_for_key(*nonce);
                let associated = Aad::from(associated);
                let tag = key_of(key).seal_in_place_separate_tag(nonce, associated, text).unwrap();
                tag.as_ref().try_into().unwrap()
            },
            &mut |key, nonce, associated, text, tag| {
                let nonce = Nonce::assume_unique_for_key(*nonce);
                let (associated, tag) = (Aad::from(associated), Tag::from(*tag));
                key_of(key).open_in_place_separate_tag(nonce, associated, tag, text, 0..).is_ok()
            },
        );
        assert_eq!(counts, (VALID, FORGED));
    }
}
