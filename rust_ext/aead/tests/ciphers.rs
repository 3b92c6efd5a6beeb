//! Each cipher compared with another implementation of RFC 8439.

mod installed;

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use installed::ciphers;
use proptest::collection::vec;
use proptest::prelude::*;
use pyfw_core::aead::{Slot, TAG_LENGTH, TransportKey};

/// Returns a buffer, filled from `seed`, with a slot for each (gap before it, length, counter).
fn batch(shapes: &[(usize, usize, u64)], seed: u8) -> (Vec<u8>, Vec<Slot>) {
    let mut end = 0;
    let mut slots = Vec::new();
    for &(gap, length, counter) in shapes {
        let offset = end + gap;
        slots.push(Slot { offset: offset as u32, length: length as u32, counter });
        end = offset + length + TAG_LENGTH;
    }
    ((0..end).map(|i| (i as u8).wrapping_mul(31) ^ (i >> 8) as u8 ^ seed).collect(), slots)
}

/// Returns the batch sealed by RustCrypto's implementation, with the nonces of whitepaper §5.4.6.
fn sealed_by_rustcrypto(key: &TransportKey, buffer: &[u8], slots: &[Slot]) -> Vec<u8> {
    let cipher = ChaCha20Poly1305::new_from_slice(&key[..]).expect("32 bytes");
    let mut sealed = buffer.to_vec();
    for slot in slots {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&slot.counter.to_le_bytes());
        let text = &mut sealed[slot.offset as usize..][..slot.length as usize];
        let tag = cipher
            .encrypt_inout_detached(&Nonce::from(nonce), &[], text.into())
            .expect("within the limit");
        sealed[(slot.offset + slot.length) as usize..][..TAG_LENGTH].copy_from_slice(&tag);
    }
    sealed
}

fn text<'a>(buffer: &'a [u8], slot: &Slot) -> &'a [u8] {
    &buffer[slot.offset as usize..][..slot.length as usize]
}

/// Seals and opens the batch with every cipher, and checks every byte.
fn check_all(key: [u8; 32], shapes: &[(usize, usize, u64)], seed: u8) {
    let key = TransportKey::new(key);
    let (plain, slots) = batch(shapes, seed);
    let expected = sealed_by_rustcrypto(&key, &plain, &slots);
    for mut cipher in ciphers() {
        let mut buffer = plain.clone();
        cipher.seal(&key, &mut buffer, &slots);
        assert!(buffer == expected, "{} seals other bytes: {shapes:?}", cipher.name());

        let mut opened = vec![false; slots.len()];
        cipher.open(&key, &mut buffer, &slots, &mut opened);
        assert!(opened.iter().all(|&opened| opened), "{} rejects: {shapes:?}", cipher.name());
        for slot in &slots {
            assert!(text(&buffer, slot) == text(&plain, slot), "{}: {slot:?}", cipher.name());
        }
    }
}

#[test]
fn empty_batch_touches_nothing() {
    for mut cipher in ciphers() {
        let key = TransportKey::new([7; 32]);
        let mut buffer = [9; 40];
        cipher.seal(&key, &mut buffer, &[]);
        cipher.open(&key, &mut buffer, &[], &mut []);
        cipher.seal(&key, &mut [], &[]);
        assert_eq!(buffer, [9; 40], "{}", cipher.name());
    }
}

#[test]
fn keepalive_is_a_tag_alone() {
    check_all([1; 32], &[(16, 0, 0)], 0);
    check_all([1; 32], &[(0, 0, u64::MAX), (0, 0, 1), (16, 3, 2), (0, 0, 3)], 0);
}

#[test]
fn slot_of_64_kib_is_sealed_and_opened() {
    check_all([2; 32], &[(1, 65536, 5), (16, 65535, 6), (0, 65507 - 32, 7)], 3);
}

#[test]
fn batch_of_64_slots_is_sealed_and_opened() {
    check_all([3; 32], &(0..64).map(|i| (16, 1420, i)).collect::<Vec<_>>(), 1);
}

#[test]
fn batch_of_many_chunks_is_sealed_and_opened() {
    for count in [65, 128, 300] {
        check_all([4; 32], &(0..count).map(|i| (16, i as usize, i)).collect::<Vec<_>>(), 2);
    }
}

#[test]
fn forgery_in_a_later_chunk_rejects_only_that_slot() {
    let key = TransportKey::new([5; 32]);
    let (plain, slots) = batch(&(0..150).map(|i| (3, 40, i)).collect::<Vec<_>>(), 4);
    let sealed = sealed_by_rustcrypto(&key, &plain, &slots);
    for mut cipher in ciphers() {
        let mut buffer = sealed.clone();
        buffer[slots[64].offset as usize + 40] ^= 1;
        let mut opened = vec![true; slots.len()];
        cipher.open(&key, &mut buffer, &slots, &mut opened);
        let rejected: Vec<usize> = (0..opened.len()).filter(|&i| !opened[i]).collect();
        assert_eq!(rejected, [64], "{}", cipher.name());
    }
}

#[test]
fn wrong_key_counter_or_swapped_tags_are_rejected() {
    let key = TransportKey::new([6; 32]);
    let (plain, slots) = batch(&[(0, 100, 1), (0, 100, 2)], 5);
    let sealed = sealed_by_rustcrypto(&key, &plain, &slots);
    for mut cipher in ciphers() {
        let mut open = |key: &TransportKey, slots: &[Slot], mut buffer: Vec<u8>| {
            let mut opened = [true; 2];
            cipher.open(key, &mut buffer, slots, &mut opened);
            opened
        };
        assert_eq!(open(&key, &slots, sealed.clone()), [true; 2]);
        assert_eq!(open(&TransportKey::new([8; 32]), &slots, sealed.clone()), [false; 2]);
        let later = slots.iter().map(|slot| Slot { counter: slot.counter + (1 << 32), ..*slot });
        assert_eq!(open(&key, &later.collect::<Vec<_>>(), sealed.clone()), [false; 2]);
        let mut swapped = sealed.clone();
        let (first, second) = swapped.split_at_mut(116);
        first[100..].swap_with_slice(&mut second[100..]);
        assert_eq!(open(&key, &slots, swapped), [false; 2]);
    }
}

#[test]
fn slot_outside_the_buffer_panics() {
    for slot in [
        Slot { offset: 0, length: 49, counter: 0 },
        Slot { offset: 65, length: 0, counter: 0 },
        Slot { offset: u32::MAX, length: u32::MAX, counter: 0 },
    ] {
        for mut cipher in ciphers() {
            let name = cipher.name();
            let run = std::panic::AssertUnwindSafe(|| {
                cipher.seal(&TransportKey::new([0; 32]), &mut [0; 64], &[slot]);
            });
            assert!(std::panic::catch_unwind(run).is_err(), "{name} accepted {slot:?}");
        }
    }
}

#[test]
fn verdicts_of_another_length_panic() {
    for mut cipher in ciphers() {
        let name = cipher.name();
        let run = std::panic::AssertUnwindSafe(|| {
            let slot = Slot { offset: 0, length: 0, counter: 0 };
            cipher.open(&TransportKey::new([0; 32]), &mut [0; 16], &[slot], &mut []);
        });
        assert!(std::panic::catch_unwind(run).is_err(), "{name}");
    }
}

#[test]
fn cipher_can_move_to_another_thread() {
    let key = TransportKey::new([9; 32]);
    let (plain, slots) = batch(&[(0, 33, 1), (0, 0, 2), (0, 1420, 3)], 6);
    let expected = sealed_by_rustcrypto(&key, &plain, &slots);
    for mut cipher in ciphers() {
        let (key, mut buffer, slots) = (key.clone(), plain.clone(), slots.clone());
        let sealed = std::thread::spawn(move || {
            cipher.seal(&key, &mut buffer, &slots);
            buffer
        });
        assert!(sealed.join().unwrap() == expected);
    }
}

fn shapes() -> impl Strategy<Value = Vec<(usize, usize, u64)>> {
    let length = prop_oneof![4 => 0..1600_usize, 1 => (0..90_usize).prop_map(|n| n * 16)];
    vec((0..40_usize, length, any::<u64>()), 0..70)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_batch_seals_to_the_same_bytes_and_opens(
        key in any::<[u8; 32]>(), shapes in shapes(), seed in any::<u8>()
    ) {
        check_all(key, &shapes, seed);
    }

    #[test]
    fn one_flipped_bit_rejects_only_its_slot(
        key in any::<[u8; 32]>(), shapes in shapes(), forged in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(), bit in 0..8_u32
    ) {
        prop_assume!(!shapes.is_empty());
        let key = TransportKey::new(key);
        let (plain, slots) = batch(&shapes, 0);
        let mut sealed = sealed_by_rustcrypto(&key, &plain, &slots);
        let forged = forged.index(slots.len());
        let place = place.index(slots[forged].length as usize + TAG_LENGTH);
        sealed[slots[forged].offset as usize + place] ^= 1 << bit;
        for mut cipher in ciphers() {
            let mut buffer = sealed.clone();
            let mut opened = vec![false; slots.len()];
            cipher.open(&key, &mut buffer, &slots, &mut opened);
            for (i, slot) in slots.iter().enumerate() {
                prop_assert_eq!(opened[i], i != forged, "{} slot {}", cipher.name(), i);
                prop_assert!(i == forged || text(&buffer, slot) == text(&plain, slot));
            }
        }
    }
}
